"""Scores of a study's runs, put together: one cell per measure, amount of labels, budget, pre-training and method."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from nnssl_plugin.evaluation.weighted_class_measures import MEASURES
from nnssl_plugin.report.evaluation_table import LOWER_IS_BETTER
from nnssl_plugin.study.class_score import class_score_of
from nnssl_plugin.study.scores import Score, measures_of, score_of, value_of
from nnssl_plugin.study.statistics import Difference, Pair, corrected, difference_of

# Of segmentation and of classification.
MAIN_METRICS = ("Dice", "AUC")
# Draw (or seed, where all patients are labelled) and seed.
Repeat = tuple[int, int]


@dataclass(frozen=True)
class Cell:
    """Scores of one method at one amount of labels and number of steps.

    Attributes:
        method: control, or recipe with its schedule.
        recipe: name of the recipe or control.
        labels: as declared.
        patients: labelled ones, mean over folds.
        budget: fine-tuning steps as declared; None: as the settings say.
        steps: fine-tuning steps.
        pretraining_steps: that the weights have behind them; 0 from scratch.
        region: of the evaluation.
        metric: of the evaluation.
        scores: draw and seed → measure over the cases of all folds. Where all patients are labelled, each seed is taken
            for a draw of its own.
        cases: number of cases.
        finished: runs that were scored, of `declared`.
        declared: number of runs.
        difference: to the control; None for a control.
    """

    method: str
    recipe: str
    labels: str
    patients: float
    budget: int | None
    steps: int
    pretraining_steps: int
    region: str
    metric: str
    scores: dict[Repeat, float]
    cases: int
    finished: int
    declared: int
    difference: Difference | None

    @property
    def draws(self) -> dict[int, float]:
        """Mean over the seeds of each draw."""
        draws: dict[int, list[float]] = defaultdict(list)
        for (draw, _), value in self.scores.items():
            draws[draw].append(value)
        return {draw: float(np.mean(values)) for draw, values in sorted(draws.items())}

    @property
    def mean(self) -> float:
        """Over draws."""
        return float(np.mean(list(self.draws.values()))) if self.scores else math.nan

    @property
    def spread_of_draws(self) -> float:
        """Standard deviation over draws (n − 1); NaN for one draw."""
        return float(np.std(list(self.draws.values()), ddof=1)) if len(self.draws) > 1 else math.nan

    @property
    def spread_of_seeds(self) -> float:
        """Standard deviation over the seeds of a draw (n − 1), pooled over draws; NaN for one seed."""
        draws: dict[int, list[float]] = defaultdict(list)
        for (draw, _), value in self.scores.items():
            draws[draw].append(value)
        variances = [np.var(values, ddof=1) for values in draws.values() if len(values) > 1]
        return float(np.sqrt(np.mean(variances))) if variances else math.nan


def method_title(run: Mapping[str, Any]) -> str:
    """Recipe and schedule, or control."""
    return f"{run['recipe']}, {run['schedule']}" if run["schedule"] else str(run["recipe"])


def labels_title(labels: str) -> str:
    """An amount of labels as people read it: 3 labelled patients, 50 percent labelled."""
    return labels.replace("patients", " labelled patients").replace("percent", " percent labelled")


def summarise(study: Mapping[str, Any], results: Mapping[str, Mapping[str, Any]]) -> list[Cell]:
    """Every cell, in the order of the study.

    Args:
        study: content of `study.json`.
        results: name of a run → its evaluation.
    """
    totals = {run["name"]: run["steps"] for run in study["runs"]}
    groups: dict[tuple[str, int | None, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for run in study["runs"]:
        if run["labels"]:
            groups[run["labels"], run["budget"], method_title(run), _pretraining_steps(run, totals)].append(run)
    return [
        cell
        for measure in measures_of(results.values())
        if study.get("evaluation") != "classes" or measure[1] in MEASURES
        for cell in _cells(measure, groups, results, study["controls"])
    ]


def where_reached(curve: Sequence[tuple[float, float]], score: float) -> tuple[float, str]:
    """Where a rising curve reaches a score: linear over the logarithm of x, at the first crossing.

    Args:
        curve: x and score, ascending in x; at least one.
        score: to be equalled.

    Returns:
        x, and how it is to be read: `""`, or `<` or `>` where the score is outside the curve.
    """
    if score <= curve[0][1]:
        return curve[0][0], "" if score == curve[0][1] else "<"
    for (less, low), (more, high) in pairwise(curve):
        if high >= score:
            share = (score - low) / (high - low)
            return float(math.exp(math.log(less) + share * (math.log(more) - math.log(less)))), ""
    return curve[-1][0], ">"


def _pretraining_steps(run: Mapping[str, Any], totals: Mapping[str, int]) -> int:
    """Behind the weights that the run starts from."""
    return int(next(iter(run["pretraining_steps"]), totals.get(run["pretraining"], 0)))


def _cells(
    measure: tuple[str, str],
    groups: Mapping[tuple[str, int | None, str, int], Sequence[Mapping[str, Any]]],
    results: Mapping[str, Mapping[str, Any]],
    controls: Mapping[str, str],
) -> list[Cell]:
    region, metric = measure
    scores = {key: _scores(runs, results, region, metric) for key, runs in groups.items()}
    seeds = {key: {_repeat(run): run["pretraining_seed"] for run in runs} for key, runs in groups.items()}
    cells = []
    for key, runs in groups.items():
        labels, budget, title, pretraining_steps = key
        control = controls.get(runs[0]["recipe"])
        difference = None
        if control:
            ours, theirs = scores[key], scores.get((labels, budget, control, 0), {})
            pairs = [
                Pair(repeat[0], seeds[key][repeat], ours[repeat], theirs[repeat]) for repeat in ours if repeat in theirs
            ]
            difference = difference_of(control, pairs, metric in LOWER_IS_BETTER)
        cells.append(
            Cell(
                title,
                runs[0]["recipe"],
                labels,
                float(np.mean([run["patients"] for run in runs])),
                budget,
                runs[0]["steps"],
                pretraining_steps,
                region,
                metric,
                {repeat: value_of(score) for repeat, score in scores[key].items()},
                len({case for score in scores[key].values() for case in score.cases}),
                sum(run["name"] in results for run in runs),
                len(runs),
                difference,
            )
        )
    return _with_correction(cells)


def _with_correction(cells: Sequence[Cell]) -> list[Cell]:
    """Holm's over the methods that stand beside each other: of the same labels and budget."""
    tables: dict[tuple[str, int | None], list[Difference]] = defaultdict(list)
    for cell in cells:
        if cell.difference:
            tables[cell.labels, cell.budget].append(cell.difference)
    ahead = {key: iter(corrected(differences)) for key, differences in tables.items()}
    return [
        replace(cell, difference=next(ahead[cell.labels, cell.budget])) if cell.difference else cell for cell in cells
    ]


def _repeat(run: Mapping[str, Any]) -> Repeat:
    return (run["seed"] if run["draw"] is None else run["draw"]), run["seed"]


def _scores(
    runs: Sequence[Mapping[str, Any]], results: Mapping[str, Mapping[str, Any]], region: str, metric: str
) -> dict[Repeat, Score]:
    by_fold: dict[Repeat, dict[int, Mapping[str, Any]]] = defaultdict(dict)
    for run in runs:
        if run["name"] in results:
            by_fold[_repeat(run)][run["base_fold"]] = results[run["name"]]
    scores: dict[Repeat, Score | None] = {}
    for repeat, folds in by_fold.items():
        of_classes = any("classes" in one for one in folds.values())
        scores[repeat] = (class_score_of if of_classes else score_of)(folds, region, metric)
    return {repeat: score for repeat, score in sorted(scores.items()) if score is not None}
