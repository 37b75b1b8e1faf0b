"""What a study's folder tells: tables, learning curves and the page, made from nothing else."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.metrics_version import refuse_mixed_versions
from nnssl_plugin.files import read_json, write_text
from nnssl_plugin.report.case_pictures import losses_and_gains, run_pictures
from nnssl_plugin.report.figures import strips
from nnssl_plugin.report.page import details, joined, listing, page, paragraph, picture, section, table
from nnssl_plugin.report.table_text import Table
from nnssl_plugin.runs.output import clock
from nnssl_plugin.study.learning_curves import learning_curves
from nnssl_plugin.study.result_tables import needed_table, result_table
from nnssl_plugin.study.results import Cell, arm_title, read_scores, summarise

REPORT = "report.html"


def render(folder: Path) -> str:
    """Write tables (`results.json`, `.csv`, `.md`, `.tex`) and `report.html` of a study.

    Returns:
        The main table as text, and where the rest is.

    Raises:
        InputError: the folder is not a study's, or its runs were scored by different versions of the metrics.
    """
    description = folder / "study.json"
    if not description.is_file():
        raise InputError(f"{folder} is not a study's folder: it has no study.json")
    study = read_json(description)
    scores = read_scores(folder, study["runs"])
    refuse_mixed_versions({folder / "evaluation" / f"{name}.json": one for name, one in scores.items()})
    cells = summarise(study["runs"], scores, study["controls"])
    results = result_table(cells)
    needed = needed_table(cells)
    record = {
        "study": study["name"],
        "labels needed": [dict(zip(needed.header, row, strict=True)) for row in needed.rows],
        "cells": [{**asdict(cell), "mean": cell.mean, "spread": cell.spread} for cell in cells],
    }
    write_text(folder / "results.json", json.dumps(_without_nan(record), indent=4))
    for name, content in (("results", results), ("labels_needed", needed)):
        for ending, text in (("csv", content.csv()), ("md", content.markdown()), ("tex", content.latex())):
            write_text(folder / f"{name}.{ending}", text)
    write_text(folder / REPORT, _page(folder, study, cells, results, needed, scores))
    # A terminal has room for Dice; the files hold every metric.
    text = (
        result_table([cell for cell in cells if cell.metric == "Dice"]).text()
        if cells
        else "no run has been scored yet"
    )
    if needed.rows:
        text += f"\n\n{needed.text()}"
    return f"{text}\n\nreport: {folder / REPORT}, with results.csv, .json, .md, .tex and labels_needed.* beside it"


def _page(
    folder: Path, study: dict[str, Any], cells: Sequence[Cell], results: Table, needed: Table, scores: Mapping[str, Any]
) -> str:
    declared = sum(bool(run["labels"]) for run in study["runs"])
    scored, parts = len(scores), []
    if scored < declared:
        parts.append(
            paragraph(f"{declared - scored} of {declared} fine-tuned runs have no score yet or failed.", "note")
        )
    if cells:
        shown = result_table([cell for cell in cells if cell.metric == "Dice"]).without("metric", "labels", "cases")
        parts.append(
            section(
                "Dice over labelled patients",
                picture(
                    learning_curves(cells, "Dice"),
                    "Small marks: one seed each, mean over cases. Lines: mean over seeds.",
                ),
            )
        )
        parts.append(
            section(
                "Results",
                table(shown.header, shown.rows, shown.numbers),
                paragraph(
                    "Differences to the control are paired by case and seed. The interval is a 95 % bootstrap over cases, "
                    "each the mean of its seeds; the spread of seeds is beside it, and how other pre-training seeds would do "
                    "is not in it. A seed decides which patients are labelled and how the network is initialised.",
                    "soft",
                ),
                details("Every metric", table(results.header, results.rows, results.numbers)),
            )
        )
    if needed.rows:
        parts.append(
            section(
                "How many labels scratch needs to equal it",
                table(needed.header, needed.rows, needed.numbers),
                paragraph(
                    "Interpolated linearly over the logarithm of the number of patients between the control's means; < and "
                    "> mark what is outside them.",
                    "soft",
                ),
            )
        )
    if scores:
        parts.append(_cases(study, scores, cells))
    parts.append(_runs(folder, study))
    declaration = folder / "study.yaml"
    if declaration.is_file():
        parts.append(section("The study file", listing(declaration.read_text(encoding="utf-8"))))
    return page(f"Study {study['name']}", f"{study['dataset']}, {study['configuration']}", *parts)


def _cases(study: dict[str, Any], scores: Mapping[str, Any], cells: Sequence[Cell]) -> Markup:
    """Dice of every case, and pictures of where the best recipe loses and gains most against its control."""
    runs = {run["name"]: run for run in study["runs"] if run["name"] in scores}
    regions = next(iter(scores.values()))["regions"]
    panels: dict[str, dict[str, list[float]]] = {}
    for name, run in runs.items():
        for region in regions:
            dice = [case[region]["Dice"] for case in scores[name]["cases"].values()]
            panels.setdefault(f"{region}, {run['labels']}", {}).setdefault(arm_title(run), []).extend(dice)
    caption = "One dot per case, fold and seed; boxes from quartile to quartile, whiskers to 1.5 times their height."
    parts = [section("Dice of every case", picture(strips(panels), caption))]
    gains = [cell for cell in cells if cell.difference and cell.metric == "Dice" and cell.region == next(iter(regions))]
    if gains:
        best = max(gains, key=lambda cell: cell.difference.mean if cell.difference else 0.0)
        parts.append(_gains(best, runs, scores, study["controls"]))
    return joined(parts)


def _gains(cell: Cell, runs: Mapping[str, Any], scores: Mapping[str, Any], controls: Mapping[str, str]) -> Markup:
    """Pictures of one seed and fold that the recipe and its control have both."""
    for name, run in runs.items():
        if (arm_title(run), run["labels"]) != (cell.arm, cell.labels):
            continue
        for other, control in runs.items():
            same = all(run[key] == control[key] for key in ("labels", "seed", "base_fold"))
            if not same or control["arm"] != controls[run["arm"]]:
                continue
            ours, theirs = scores[name], scores[other]
            shown = losses_and_gains(ours["cases"], theirs["cases"], cell.region)
            title = f"Where {cell.arm} loses and gains most against {control['arm']}: {cell.labels}, seed {run['seed']}"
            return run_pictures(shown, title, {control["arm"]: theirs, cell.arm: ours})
    return Markup("")


def _runs(folder: Path, study: dict[str, Any]) -> Markup:
    rows = []
    for run in study["runs"]:
        path = folder / "runs" / f"{run['name']}.json"
        record = read_json(path) if path.is_file() else {}
        fold = str(run["base_fold"]) if run["fold"] == run["base_fold"] else f"{run['base_fold']} (as {run['fold']})"
        rows.append(
            [
                run["name"],
                run["trainer"],
                fold,
                str(len(run["cases"])),
                str(run["steps"]),
                record.get("state", "to do"),
                clock(record["seconds"]) if record.get("seconds") else "",
            ]
        )
    return section(
        "Runs", table(["run", "trainer", "fold", "training cases", "steps", "state", "min:s"], rows, (3, 4, 6))
    )


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
