"""Predicted classes scored against a table."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.class_scores import class_scores, positive_class
from nnssl_plugin.evaluation.class_table import TrueClasses, read_true_classes
from nnssl_plugin.evaluation.predictions import Predictions, read_predictions
from nnssl_plugin.evaluation.weighted_class_measures import MEASURES

RESAMPLINGS = 5000
SEED = 12345


def evaluate_classes(
    files: Sequence[Path], table: Path, positive: Mapping[str, str], only: Sequence[str] = ()
) -> dict[str, Any]:
    """Score predictions of one or several networks.

    Several files are folds or seeds: each is scored by itself, for mean and standard deviation over files, and all
    together, where a case that several files have gets the mean of its probabilities.

    Args:
        files: as `nnssl_plugin classify` and `SSLClassifyTrainer` write them.
        table: with the columns `case` and those predicted; `patient` or `group` for intervals by patient.
        positive: column → class whose F1 is given; by default the rarest one.
        only: columns; by default all that were predicted.

    Raises:
        InputError: the files do not predict the same classes, the table lacks a case or holds a class nobody predicts, or
            it has one class only.
    """
    read = [read_predictions(file) for file in files]
    columns = read[0].columns
    if different := [file for file, one in zip(files, read, strict=True) if dict(one.columns) != dict(columns)]:
        raise InputError(f"{different[0]} predicts other classes than {files[0]}")
    for column in (*only, *positive):
        if column not in columns:
            raise InputError(f"{files[0]} predicts no {column!r}, but {', '.join(columns)}")
    chosen = {column: columns[column] for column in (only or columns)}
    truth = read_true_classes(table, list(chosen))
    for file, one in zip(files, read, strict=True):
        if strange := sorted(set(one.probabilities) - set(truth.classes)):
            raise InputError(f"{file}: {len(strange)} cases are not in {table}, first {strange[0]}")
    predicted = {case for one in read for case in one.probabilities}
    missing = sorted(case for case in truth.classes if case not in predicted and truth.classes[case])
    results = {
        column: _column(column, names, read, truth, table, positive.get(column)) for column, names in chosen.items()
    }
    cases = {
        case: {
            column: {
                "class": truth.classes[case][column],
                "probabilities": dict(zip(names, _mean(read, case, column).tolist(), strict=True)),
            }
            for column, names in chosen.items()
            if column in truth.classes[case]
        }
        for case in sorted(predicted)
    }
    return {
        "evaluation": "classes",
        "columns": results,
        "cases": cases,
        "groups": {case: truth.groups[case] for case in cases},
        "not_predicted": missing,
        "files": [str(file) for file in files],
        "table": str(table),
    }


def _mean(read: Sequence[Predictions], case: str, column: str) -> npt.NDArray[np.float64]:
    return np.mean([one.probabilities[case][column] for one in read if case in one.probabilities], axis=0)


def _column(
    column: str,
    names: tuple[str, ...],
    read: Sequence[Predictions],
    truth: TrueClasses,
    table: Path,
    positive: str | None,
) -> dict[str, Any]:
    cases = sorted(
        {case for one in read for case in one.probabilities if column in truth.classes[case]},
    )
    if unknown := sorted({truth.classes[case][column] for case in cases} - set(names)):
        raise InputError(f"{table}: {column} has the class {unknown[0]!r}, which no file predicts ({', '.join(names)})")
    indices = {case: names.index(truth.classes[case][column]) for case in cases}
    classes = np.array([indices[case] for case in cases], dtype=np.int64)
    if len(set(classes.tolist())) < 2:
        raise InputError(f"{table}: the predicted cases have fewer than two classes in {column}: nothing to score")
    if positive is not None and positive not in names:
        raise InputError(f"--positive {column}={positive}: the classes are {', '.join(names)}")
    of_interest = positive_class(classes, names) if positive is None else names.index(positive)
    probabilities = np.array([_mean(read, case, column) for case in cases])
    each = []
    for one in read:
        own = [case for case in cases if case in one.probabilities]
        own_classes = np.array([indices[case] for case in own], dtype=np.int64)
        each.append(class_scores(own_classes, np.array([one.probabilities[case][column] for case in own]), of_interest))
    majority = int(np.bincount(classes).argmax())
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (classes, probabilities.argmax(axis=1)), 1)
    return {
        "classes": list(names),
        "positive": names[of_interest],
        "cases": len(cases),
        "scores": _without_nan(class_scores(classes, probabilities, of_interest)),
        "intervals": intervals(classes, probabilities, [truth.groups[case] for case in cases]),
        "over_files": {metric: _over_files([one[metric] for one in each]) for metric in each[0]},
        "majority": {"class": names[majority], "accuracy": float((classes == majority).mean())},
        "confusion": confusion.tolist(),
    }


def intervals(
    truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], groups: Sequence[str]
) -> dict[str, list[float]]:
    """95 % intervals by a bootstrap over patients."""
    weights = bootstrap_weights(groups)
    result = {}
    for name, measure in MEASURES.items():
        samples = measure(truth, probabilities, weights)
        if np.isfinite(samples).any():
            result[name] = [float(one) for one in np.nanpercentile(samples, [2.5, 97.5])]
    return result


def bootstrap_weights(groups: Sequence[str]) -> npt.NDArray[np.float64]:
    """How often each case is in each sample `[RESAMPLINGS, cases]` of whole patients, drawn with replacement."""
    names = sorted(set(groups))
    drawn = np.random.default_rng(SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLINGS)
    weights: npt.NDArray[np.float64] = drawn[:, [names.index(group) for group in groups]].astype(np.float64)
    return weights


def _over_files(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and standard deviation (n − 1) of the files for which a score is defined."""
    known = [value for value in values if not np.isnan(value)]
    return {
        "mean": float(np.mean(known)) if known else None,
        "sd": float(np.std(known, ddof=1)) if len(known) > 1 else None,
    }


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _without_nan(scores: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _defined(value) for name, value in scores.items()}
