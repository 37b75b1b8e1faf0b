"""What a study's folder tells: tables, learning curves and the page, made from nothing else."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnssl_plugin.evaluation.metrics_version import refuse_mixed_versions
from nnssl_plugin.files import write_json, write_text
from nnssl_plugin.report.table_text import Table
from nnssl_plugin.study.result_tables import needed_table, reached_table, result_table, short_table
from nnssl_plugin.study.results import Cell, summarise
from nnssl_plugin.study.scores import read_results
from nnssl_plugin.study.study_folder import read_study
from nnssl_plugin.study.study_page import study_page

REPORT = "report.html"


def render(folder: Path) -> str:
    """Write tables (`results.json`, `.csv`, `.md`, `.tex`) and `report.html` of a study.

    Returns:
        The main table as text, and where the rest is.

    Raises:
        InputError: the folder is not a study's, or its runs were scored by different versions of the metrics.
    """
    study = read_study(folder)
    results = read_results(folder, study["runs"])
    refuse_mixed_versions({folder / "evaluation" / f"{name}.json": one for name, one in results.items()})
    cells = summarise(study, results)
    tables = {
        "results": result_table(cells),
        "labels_needed": needed_table(cells),
        "steps_needed": reached_table(cells),
    }
    record = {
        "study": study["name"],
        **{name: _records(tables[name]) for name in ("labels_needed", "steps_needed")},
        "cells": [_record(cell) for cell in cells],
    }
    write_json(_without_nan(record), folder / "results.json")
    for name, content in tables.items():
        for ending, text in (("csv", content.csv()), ("md", content.markdown()), ("tex", content.latex())):
            write_text(folder / f"{name}.{ending}", text)
    write_text(folder / REPORT, study_page(folder, study, cells, tables, results))
    # A terminal has room for Dice; the files hold every metric.
    shown = [short_table(cells).text() if cells else "no run has been scored yet"]
    shown += [content.text() for name, content in tables.items() if name != "results" and content.rows]
    shown.append(
        f"report: {folder / REPORT}; in the same folder results.csv, .json, .md, .tex, labels_needed.* and steps_needed.*"
    )
    return "\n\n".join(shown)


def _record(cell: Cell) -> dict[str, Any]:
    scores = [{"draw": draw, "seed": seed, "value": value} for (draw, seed), value in cell.scores.items()]
    spread = {"mean": cell.mean, "sd of draws": cell.spread_of_draws, "sd of seeds": cell.spread_of_seeds}
    return {**asdict(cell), **spread, "scores": scores}


def _records(content: Table) -> list[dict[str, str]]:
    return [dict(zip(content.header, row, strict=True)) for row in content.rows]


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(entry) for entry in value]
    return None if isinstance(value, float) and math.isnan(value) else value
