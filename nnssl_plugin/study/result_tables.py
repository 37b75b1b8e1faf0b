"""A study's results as tables."""

import math
from collections.abc import Sequence

from nnssl_plugin.report.table_text import Table
from nnssl_plugin.study.results import Cell, labels_needed


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
                f"{cell.patients:g}",
                cell.arm,
                _number(cell.mean),
                _number(cell.spread),
                f"{difference.mean:+.4f}" if difference else "",
                f"{difference.interval[0]:+.4f} to {difference.interval[1]:+.4f}" if difference else "",
                " ".join(f"{value:+.3f}" for value in difference.seeds.values()) if difference else "",
                str(cell.cases),
                f"{cell.finished} of {cell.declared}",
            ]
        )
    header = ["region", "metric", "labels", "patients", "recipe", "mean", "sd of seeds", "difference", "95 % interval"]
    return Table([*header, "each seed", "cases", "runs"], rows, (3, 5, 6, 7, 8, 9, 10, 11))


def needed_table(cells: Sequence[Cell]) -> Table:
    """How many labelled patients each recipe's control needs to equal its Dice."""
    rows = []
    for cell in cells:
        if cell.metric != "Dice" or cell.difference is None or not cell.seeds:
            continue
        control = cell.difference.control
        curve = sorted(
            (one.patients, one.mean)
            for one in cells
            if (one.arm, one.region, one.metric) == (control, cell.region, "Dice") and one.seeds
        )
        needed, sign = labels_needed(curve, cell.mean)
        rows.append([cell.region, cell.arm, f"{cell.patients:g}", _number(cell.mean), control, f"{sign}{needed:.1f}"])
    header = ["region", "recipe", "patients", "Dice", "control", "patients the control needs"]
    return Table(header, rows, (2, 3, 5))


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"
