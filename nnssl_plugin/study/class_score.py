"""Scores of classes as the statistics of a study want them; see `nnssl_plugin.study.scores.Score`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnssl_plugin.evaluation.weighted_class_measures import MEASURES, Measure
from nnssl_plugin.study.scores import Case, Floats


@dataclass(frozen=True)
class ClassScore:
    """A measure of predicted classes.

    Attributes:
        truth: case → index of its class.
        probabilities: case → `[K]`.
        measure: see `Measure`.
    """

    truth: Mapping[Case, int]
    probabilities: Mapping[Case, Sequence[float]]
    measure: Measure

    @property
    def cases(self) -> Sequence[Case]:
        """With a class."""
        return sorted(self.truth)

    def over(self, cases: Sequence[Case], weights: Floats) -> Floats:
        """Mean over folds of the measure of each sample; a fold that lacks a class in the sample is left out of its mean.

        Not over all cases at once: each fold has a network of its own, whose probabilities lie higher or lower than the
        others', so that a ranking of all of them can be below chance.
        """
        truth = np.array([self.truth[case] for case in cases])
        probabilities = np.array([self.probabilities[case] for case in cases])
        folds = np.array([fold for fold, _ in cases])
        each = np.stack(
            [
                self.measure(truth[folds == fold], probabilities[folds == fold], weights[:, folds == fold])
                for fold in np.unique(folds)
            ]
        )
        known = np.isfinite(each)
        total = np.where(known, each, 0).sum(axis=0)
        return np.divide(total, known.sum(axis=0), out=np.full(len(weights), np.nan), where=known.any(axis=0))


def class_score_of(results: Mapping[int, Mapping[str, Any]], column: str, metric: str) -> ClassScore | None:
    """One measure of runs that differ in their fold only; None where no case has a class in the column."""
    cases = {
        (fold, case): entry[column]
        for fold, one in results.items()
        for case, entry in one["cases"].items()
        if column in entry
    }
    if not cases:
        return None
    return ClassScore(
        {case: int(entry["class"]) for case, entry in cases.items()},
        {case: entry["probabilities"] for case, entry in cases.items()},
        MEASURES[metric],
    )
