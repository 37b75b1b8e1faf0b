"""A study's results as tables."""

import math
from collections.abc import Iterable, Sequence

from nnssl_plugin.report.table_text import Table
from nnssl_plugin.study.results import MAIN_METRICS, Cell, where_reached

# Columns that say nothing where they hold one value.
FACTORS = ("metric", "labels", "steps", "pre-training steps", "sd of seeds", "cases")


def result_table(cells: Sequence[Cell]) -> Table:
    """Every cell, in one row each."""
    rows = []
    for cell in cells:
        difference = cell.difference
        rows.append(
            [
                cell.region,
                cell.metric,
                cell.labels,
                f"{cell.patients:.3g}",
                str(cell.steps),
                cell.method,
                str(cell.pretraining_steps or ""),
                _number(cell.mean),
                _number(cell.spread_of_draws),
                _number(cell.spread_of_seeds),
                *(
                    [
                        f"{difference.mean:+.4f}",
                        f"{difference.interval[0]:+.4f} to {difference.interval[1]:+.4f}",
                        "" if math.isnan(difference.corrected_p) else f"{difference.corrected_p:.3g}",
                        f"{difference.better} of {len(difference.draws)}",
                        _signed(difference.draws.values()),
                        _signed(difference.pretrainings.values()),
                    ]
                    if difference
                    else [""] * 6
                ),
                str(cell.cases),
                f"{cell.finished} of {cell.declared}",
            ]
        )
    of_classes = any(cell.metric == "AUC" for cell in cells)
    header = ["column" if of_classes else "region", "metric", "labels", "patients", "steps", "recipe"]
    header += ["pre-training steps", "mean", "sd of draws"]
    header += ["sd of seeds", "difference", "95 % interval", "p (Holm)", "draws better", "each draw"]
    header += ["each pre-training", "cases", "runs"]
    numbers = [i for i, title in enumerate(header) if title not in ("region", "column", "metric", "labels", "recipe")]
    return Table(header, rows, numbers)


def short_table(cells: Sequence[Cell]) -> Table:
    """Dice (or AUC) alone, without the columns that hold the same everywhere."""
    whole = result_table([cell for cell in cells if cell.metric in MAIN_METRICS])
    same = [
        title
        for i, title in enumerate(whole.header)
        # Dice is what a reader expects.
        if title in FACTORS and len({row[i] for row in whole.rows} - {""}) <= 1 and whole.rows[0][i] != "AUC"
    ]
    return whole.without(*same, "labels", "each draw", "each pre-training")


def needed_table(cells: Sequence[Cell]) -> Table:
    """How many labelled patients each recipe's control needs to equal its Dice."""
    rows = []
    for cell in _compared(cells):
        curve = sorted((one.patients, one.mean) for one in _control_of(cell, cells) if one.budget == cell.budget)
        if len(curve) < 2:
            continue
        needed, sign = where_reached(curve, cell.mean)
        rows.append([*_row(cell), f"{sign}{needed:.1f}"])
    return Table([*ROW, "patients the control needs"], rows, (1, 2, 4, 5, 7))


def reached_table(cells: Sequence[Cell]) -> Table:
    """After how many fine-tuning steps each recipe has the Dice that its control has after the most."""
    rows, seen = [], set()
    for cell in _compared(cells):
        key = cell.region, cell.labels, cell.method, cell.pretraining_steps
        curve = sorted(
            (one.steps, one.mean) for one in cells if _key(one) == key and one.metric == cell.metric and one.scores
        )
        control = [one for one in _control_of(cell, cells) if one.labels == cell.labels]
        if key in seen or len(curve) < 2 or not control:
            continue
        seen.add(key)
        final = max(control, key=lambda one: one.steps)
        reached, sign = where_reached([(float(steps), mean) for steps, mean in curve], final.mean)
        rows.append(
            [
                cell.region,
                f"{cell.patients:.3g}",
                cell.method,
                str(cell.pretraining_steps),
                final.method,
                _number(final.mean),
                str(final.steps),
                f"{sign}{reached:.0f}",
                f"{sign}{reached / final.steps:.2f}",
            ]
        )
    header = ["region", "patients", "recipe", "pre-training steps", "control", "its Dice at the end", "its steps"]
    return Table([*header, "reached after", "share of its steps"], rows, (1, 3, 5, 6, 7, 8))


ROW = ["region", "patients", "steps", "recipe", "pre-training steps", "Dice", "control"]


def _row(cell: Cell) -> list[str]:
    control = cell.difference.control if cell.difference else ""
    parts = [cell.region, f"{cell.patients:.3g}", str(cell.steps), cell.method, str(cell.pretraining_steps)]
    return [*parts, _number(cell.mean), control]


def _key(cell: Cell) -> tuple[str, str, str, int]:
    return cell.region, cell.labels, cell.method, cell.pretraining_steps


def _compared(cells: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if cell.metric in MAIN_METRICS and cell.difference and cell.scores]


def _control_of(cell: Cell, cells: Sequence[Cell]) -> list[Cell]:
    """Cells of the control of a cell, at every amount of labels and budget."""
    control = cell.difference.control if cell.difference else ""
    return [
        one
        for one in cells
        if (one.method, one.region, one.metric) == (control, cell.region, cell.metric) and one.scores
    ]


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _signed(values: Iterable[float]) -> str:
    return " ".join(f"{value:+.3f}" for value in values)
