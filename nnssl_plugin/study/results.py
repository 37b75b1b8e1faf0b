"""Scores of a study's runs, put together: means, spread over seeds, differences to the control paired by case."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nnssl_plugin.files import read_json
from nnssl_plugin.report.comparison import bootstrap_interval

# Fold and case → score of one region and metric.
Scores = dict[tuple[int, str], float]


@dataclass(frozen=True)
class Difference:
    """To the control, paired by case.

    `interval`: 95 % bootstrap interval over cases, each the mean of its seeds. `seeds`: mean difference of each seed.
    """

    control: str
    mean: float
    interval: tuple[float, float]
    seeds: dict[int, float]


@dataclass(frozen=True)
class Cell:
    """Scores of one recipe (or control) at one amount of labels.

    Attributes:
        arm: recipe or control, with its schedule.
        labels: as declared.
        patients: labelled ones, mean over folds.
        region: of the evaluation.
        metric: of the evaluation.
        seeds: seed → mean over the cases of all folds.
        cases: number of cases.
        finished: runs that were scored, of `declared`.
        declared: number of runs.
        difference: None for a control.
    """

    arm: str
    labels: str
    patients: float
    region: str
    metric: str
    seeds: dict[int, float]
    cases: int
    finished: int
    declared: int
    difference: Difference | None

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(list(self.seeds.values()))) if self.seeds else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation over seeds (n − 1); NaN for one seed."""
        return float(np.std(list(self.seeds.values()), ddof=1)) if len(self.seeds) > 1 else math.nan


def arm_title(run: Mapping[str, Any]) -> str:
    """Recipe and schedule, or control."""
    return f"{run['arm']}, {run['schedule']}" if run["schedule"] else str(run["arm"])


def read_scores(folder: Path, runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Name → evaluation of every fine-tuned run that has finished.

    Args:
        folder: of the study.
        runs: entries of its `study.json`.
    """
    scores = {}
    for run in runs:
        record, path = folder / "runs" / f"{run['name']}.json", folder / "evaluation" / f"{run['name']}.json"
        if run["labels"] and path.is_file() and record.is_file() and read_json(record)["state"] == "finished":
            scores[run["name"]] = read_json(path)
    return scores


def summarise(
    runs: Sequence[Mapping[str, Any]], scores: Mapping[str, Mapping[str, Any]], controls: Mapping[str, str]
) -> list[Cell]:
    """One cell per region, metric, amount of labels and arm, in the order of the study.

    Args:
        runs: entries of `study.json`.
        scores: see `read_scores`.
        controls: recipe → its control.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        if run["labels"]:
            groups[run["labels"], arm_title(run)].append(run)
    measures = {(region, metric) for one in scores.values() for region, m in one["mean"].items() for metric in m}
    order = [key for one in list(scores.values())[:1] for region in one["mean"] for key in _keys(one, region)]
    cells = []
    for region, metric in sorted(measures, key=lambda key: order.index(key) if key in order else len(order)):
        by_group = {key: _by_seed(group, scores, region, metric) for key, group in groups.items()}
        for (labels, title), group in groups.items():
            control = controls.get(group[0]["arm"])
            ours, theirs = by_group[labels, title], by_group.get((labels, control), {}) if control else {}
            cells.append(
                Cell(
                    title,
                    labels,
                    float(np.mean([run["patients"] for run in group])),
                    region,
                    metric,
                    {seed: float(np.mean(list(values.values()))) for seed, values in ours.items()},
                    len({case for values in ours.values() for case in values}),
                    sum(run["name"] in scores for run in group),
                    len(group),
                    _difference(control, ours, theirs) if control else None,
                )
            )
    return cells


def labels_needed(curve: Sequence[tuple[float, float]], score: float) -> tuple[float, str]:
    """How many labelled patients the control needs for a score.

    Linear between the control's means over the logarithm of the number of patients, at the first crossing.

    Args:
        curve: number of patients and mean score of the control, ascending in patients; at least one.
        score: to be equalled.

    Returns:
        The number, and how it is to be read: `""`, or `<` or `>` where the score is outside the curve.
    """
    if score <= curve[0][1]:
        return curve[0][0], "" if score == curve[0][1] else "<"
    for (fewer, low), (more, high) in pairwise(curve):
        if high >= score:
            share = (score - low) / (high - low)
            return float(math.exp(math.log(fewer) + share * (math.log(more) - math.log(fewer)))), ""
    return curve[-1][0], ">"


def _keys(scores: Mapping[str, Any], region: str) -> list[tuple[str, str]]:
    return [(region, metric) for metric in scores["mean"][region]]


def _by_seed(
    group: Sequence[Mapping[str, Any]], scores: Mapping[str, Mapping[str, Any]], region: str, metric: str
) -> dict[int, Scores]:
    """Seed → scores of the cases of all its folds; what is undefined for a case is left out."""
    seeds: dict[int, Scores] = {}
    for run in group:
        for case, regions in scores.get(run["name"], {"cases": {}})["cases"].items():
            value = regions.get(region, {}).get(metric)
            if value is not None:
                seeds.setdefault(run["seed"], {})[run["base_fold"], case] = value
    return seeds


def _difference(control: str, ours: Mapping[int, Scores], theirs: Mapping[int, Scores]) -> Difference | None:
    """Over the cases and seeds that both have."""
    by_case: dict[tuple[int, str], list[float]] = defaultdict(list)
    seeds = {}
    for seed in ours.keys() & theirs.keys():
        pairs = {case: ours[seed][case] - theirs[seed][case] for case in ours[seed].keys() & theirs[seed].keys()}
        if pairs:
            seeds[seed] = float(np.mean(list(pairs.values())))
        for case, value in pairs.items():
            by_case[case].append(value)
    if not by_case:
        return None
    means = np.array([np.mean(by_case[case]) for case in sorted(by_case)])
    return Difference(control, float(means.mean()), bootstrap_interval(means), dict(sorted(seeds.items())))
