"""Comparison of evaluations of classes, paired by case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from scipy.stats import binomtest

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.evaluate_classes import bootstrap_weights
from nnssl_plugin.evaluation.weighted_class_measures import MEASURES
from nnssl_plugin.files import read_json
from nnssl_plugin.report.page import page, paragraph, section, table
from nnssl_plugin.report.run_scores import name_and_paths
from nnssl_plugin.report.table_text import Table

HEADER = [
    "column",
    "score",
    "run",
    "value",
    "difference",
    "95 % interval",
    "only this right",
    "only the first right",
    "McNemar p",
]


@dataclass(frozen=True)
class ClassComparison:
    """Runs against the first of them. `cases`: number of them."""

    first: str
    cases: int
    table: Table


def is_of_classes(text: str) -> bool:
    """Whether a run, as it is named on the command line, is an evaluation of classes."""
    path = name_and_paths(text)[1][0]
    if not path.is_file():
        return False
    content = read_json(path)
    return isinstance(content, dict) and content.get("evaluation") == "classes"


def compare_classes(texts: Sequence[str], intersect: bool) -> ClassComparison:
    """Compare evaluations of classes with the first.

    Differences have a 95 % interval by a bootstrap over patients; whether two runs are right in other cases is tested by
    McNemar's exact test.

    Args:
        texts: `[NAME=]FILE` of each.
        intersect: whether cases that are not in all of them are left out.

    Raises:
        InputError: a file is none, the runs are of other columns, classes or cases.
    """
    runs = dict(_read(text) for text in texts)
    if len(runs) < len(texts):
        raise InputError("two runs have the same name; name them with NAME=FILE")
    first_name, first = next(iter(runs.items()))
    shared = set.intersection(*(set(run["cases"]) for run in runs.values()))
    everything = set.union(*(set(run["cases"]) for run in runs.values()))
    if shared != everything and not intersect:
        raise InputError(
            f"the runs are not of the same cases ({', '.join(sorted(everything - shared)[:5])} are not in all); --intersect "
            "compares the cases that all have"
        )
    rows: list[list[str]] = []
    for column, described in first["columns"].items():
        for name, run in runs.items():
            if column not in run["columns"] or run["columns"][column]["classes"] != described["classes"]:
                raise InputError(f"{name} does not have the classes of {first_name} in column {column!r}")
        rows += _rows(column, described["classes"], runs, sorted(shared))
    return ClassComparison(first_name, len(shared), Table(HEADER, rows, range(3, len(HEADER))))


def class_comparison_page(compared: ClassComparison) -> Markup:
    """The comparison as a page."""
    whole = compared.table
    note = (
        f"Differences to {compared.first}, paired by case; 95 % intervals by a bootstrap over patients. McNemar: exact, two-sided, "
        "over the cases that only one of the two has right."
    )
    body = section("Scores", table(whole.header, whole.rows, whole.numbers), paragraph(note, "soft"))
    return page("Comparison: classes", f"{compared.cases} cases", body)


def _read(text: str) -> tuple[str, Mapping[str, Any]]:
    name, paths = name_and_paths(text)
    if len(paths) > 1:
        raise InputError(
            f"{text}: folds and seeds of a run are joined by `nnssl_plugin evaluate classes`; name its one result"
        )
    content = read_json(paths[0])
    if not isinstance(content, dict) or content.get("evaluation") != "classes":
        raise InputError(f"{paths[0]} is no result of nnssl_plugin evaluate classes")
    return name or str(Path(paths[0]).with_suffix("")), content


def _rows(
    column: str, names: Sequence[str], runs: Mapping[str, Mapping[str, Any]], cases: Sequence[str]
) -> list[list[str]]:
    first = next(iter(runs.values()))
    cases = [case for case in cases if column in first["cases"][case]]
    if not cases:
        raise InputError(f"the runs have no case with a class in column {column!r} in common")
    truth = np.array([names.index(first["cases"][case][column]["class"]) for case in cases])
    weights = bootstrap_weights([first["groups"][case] for case in cases])
    whole = np.ones((1, len(cases)))
    probabilities = {
        name: np.array([[run["cases"][case][column]["probabilities"][c] for c in names] for case in cases])
        for name, run in runs.items()
    }
    right = {name: one.argmax(axis=1) == truth for name, one in probabilities.items()}
    base = next(iter(runs))
    rows = []
    for metric, measure in MEASURES.items():
        reference, samples = (measure(truth, probabilities[base], w) for w in (whole, weights))
        for name, one in probabilities.items():
            value = float(measure(truth, one, whole)[0])
            row = [column, metric, name, f"{value:.3f}"]
            if name == base:
                rows.append([*row, *[""] * (len(HEADER) - len(row))])
                continue
            low, high = np.nanpercentile(measure(truth, one, weights) - samples, [2.5, 97.5])
            row += [f"{value - float(reference[0]):+.3f}", f"{low:+.3f} to {high:+.3f}"]
            ours, theirs = int((right[name] & ~right[base]).sum()), int((right[base] & ~right[name]).sum())
            p = binomtest(ours, ours + theirs).pvalue if ours + theirs else 1.0
            rows.append([*row, str(ours), str(theirs), f"{p:.3g}"])
    return rows
