"""Scores of a study's runs, as its statistics want them: a measure of any cases, each counted any number of times."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from nnssl_plugin.files import read_json

Floats = npt.NDArray[np.float64]
# Base fold and name: folds may call different cases alike.
Case = tuple[int, str]


class Score(Protocol):
    """One measure of one run (or of one per fold). What is not a mean over cases implements the same two."""

    @property
    def cases(self) -> Sequence[Case]:
        """For which it is defined."""

    def over(self, cases: Sequence[Case], weights: Floats) -> Floats:
        """The measure of several samples of the cases.

        Args:
            cases: some of those it is defined for.
            weights: how often each sample holds each case, `[samples, cases]`.

        Returns:
            `[samples]`; NaN for a sample without any case.
        """


@dataclass(frozen=True)
class MeanScore:
    """Mean over cases. `values`: of each case for which it is defined."""

    values: Mapping[Case, float]

    @property
    def cases(self) -> Sequence[Case]:
        """For which it is defined."""
        return sorted(self.values)

    def over(self, cases: Sequence[Case], weights: Floats) -> Floats:
        """Weighted mean of each sample; see `Score`."""
        total = weights.sum(axis=1)
        summed = weights @ np.array([self.values[case] for case in cases])
        return np.divide(summed, total, out=np.full(len(weights), np.nan), where=total > 0)


def value_of(score: Score) -> float:
    """The measure of all its cases."""
    return float(score.over(score.cases, np.ones((1, len(score.cases))))[0])


def read_results(folder: Path, runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name → evaluation of every fine-tuned run that has finished.

    Args:
        folder: of the study.
        runs: entries of its `study.json`.
    """
    results = {}
    for run in runs:
        record, path = folder / "runs" / f"{run['name']}.json", folder / "evaluation" / f"{run['name']}.json"
        if run["labels"] and path.is_file() and record.is_file() and read_json(record)["state"] == "finished":
            results[run["name"]] = read_json(path)
    return results


def measures_of(results: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Region and metric of every measure, in the order of the evaluations."""
    return list(
        dict.fromkeys(
            (region, metric) for one in results for region, metrics in one["mean"].items() for metric in metrics
        )
    )


def score_of(results: Mapping[int, Mapping[str, Any]], region: str, metric: str) -> Score | None:
    """One measure of runs that differ in their fold only; None where it is defined for no case.

    Args:
        results: base fold → evaluation.
        region: of the measure.
        metric: of the measure.
    """
    values = {
        (fold, case): float(regions[region][metric])
        for fold, one in results.items()
        for case, regions in one["cases"].items()
        if regions.get(region, {}).get(metric) is not None
    }
    return MeanScore(values) if values else None
