from collections.abc import Mapping
from typing import Any

from nnssl_plugin.evaluation.class_scores import METRICS
from nnssl_plugin.report.table_text import Table


def scores_table(results: Mapping[str, Any]) -> Table:
    """Every score of every column, of all cases together and as mean ± sd over files."""
    several = len(results["files"]) > 1
    header = ["column", "score", "all cases", "95 % interval", *(["mean ± sd over files"] if several else [])]
    rows = []
    for column, one in results["columns"].items():
        for metric in METRICS:
            title = f"F1 of {one['positive']}" if metric.startswith("F1 of") else metric
            low_high = one["intervals"].get(metric)
            row = [
                column,
                title,
                _number(one["scores"][metric]),
                " to ".join(map(_number, low_high)) if low_high else "",
            ]
            if several:
                over = one["over_files"][metric]
                row.append("" if over["mean"] is None else f"{over['mean']:.3f} ± {over['sd'] or 0:.3f}")
            rows.append(row)
        majority = one["majority"]
        row = [column, f"accuracy of always {majority['class']}", _number(majority["accuracy"]), ""]
        rows.append([*row, ""] if several else row)
    return Table(header, rows, range(2, len(header)))


def classes_case_table(results: Mapping[str, Any]) -> Table:
    """Class, prediction and probabilities of every case."""
    rows = []
    for case, columns in results["cases"].items():
        for column, one in columns.items():
            predicted = max(one["probabilities"], key=lambda name: one["probabilities"][name])
            rows.append([case, column, one["class"], predicted, f"{one['probabilities'][predicted]:.3f}"])
    return Table(["case", "column", "class", "predicted", "probability"], rows, [4])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
