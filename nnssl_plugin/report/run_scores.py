"""Evaluations of runs that are to be compared: one per run, or one per seed of a run, over the same cases."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.metrics_version import refuse_mixed_versions
from nnssl_plugin.files import read_json
from nnssl_plugin.report.evaluation_table import metrics_of

NAMES = ("brats.json", "chaos.json", "regions.json")


@dataclass(frozen=True)
class RunScores:
    """Evaluations of one run. `seeds`: file → content, one per seed."""

    name: str
    seeds: Mapping[Path, Mapping[str, Any]]

    @property
    def cases(self) -> set[str]:
        """Cases of all seeds."""
        return {case for one in self.seeds.values() for case in one["cases"]}

    def result(self, cases: Sequence[str]) -> dict[str, Any]:
        """One result over `cases`, each the mean of its seeds; undefined where it is undefined for a seed."""
        first = next(iter(self.seeds.values()))
        regions, metrics = list(first["regions"]), metrics_of(first)

        def score(case: str, region: str, metric: str) -> float | None:
            scores = [one["cases"][case][region][metric] for one in self.seeds.values()]
            return None if None in scores else float(np.mean(scores))

        merged = {case: {r: {m: score(case, r, m) for m in metrics} for r in regions} for case in cases}
        return {"mean": {region: dict.fromkeys(metrics) for region in regions}, "cases": merged}

    def seed_means(self, cases: Sequence[str], region: str, metric: str) -> list[float]:
        """Mean over `cases` of each seed."""
        values = [[one["cases"][case][region][metric] for case in cases] for one in self.seeds.values()]
        return [
            float(np.mean([v for v in seed if v is not None])) for seed in values if any(v is not None for v in seed)
        ]


def read_runs(texts: Sequence[str]) -> list[RunScores]:
    """Read runs as they are named on the command line: `[NAME=]PATH[,PATH…]`, a path for each seed.

    A path is a file of `nnssl_plugin evaluate`, or a folder that holds one. Runs without a name are called by what
    their first paths do not share.

    Raises:
        InputError: a path is none of both, or the evaluation left cases out.
    """
    named = [name_and_paths(text) for text in texts]
    unnamed = [paths[0].parts for name, paths in named if not name]
    before, after = _alike(unnamed), _alike([parts[::-1] for parts in unnamed])
    runs = []
    for name, paths in named:
        parts = paths[0].parts
        own = "/".join(parts[before : max(len(parts) - after, before + 1)])
        runs.append(RunScores(name or own, _seeds(paths)))
    return runs


def _alike(paths: Sequence[Sequence[str]]) -> int:
    """How many first parts several paths share."""
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*paths, strict=False))
    return len(list(shared)) if len(paths) > 1 else 0


def name_and_paths(text: str) -> tuple[str, list[Path]]:
    """Name (empty where none is given) and files of `[NAME=]PATH[,PATH…]`."""
    # A path may hold a =, like lr=0.01.
    name, _, paths = ("", "", text) if Path(text.split(",")[0]).exists() else text.rpartition("=")
    return name, [Path(path) for path in paths.split(",")]


def _seeds(paths: Sequence[Path]) -> dict[Path, Mapping[str, Any]]:
    seeds: dict[Path, Mapping[str, Any]] = {}
    for file in map(_file, paths):
        content = read_json(file)
        if isinstance(content, dict) and content.get("evaluation") == "classes":
            raise InputError(f"{file} is an evaluation of classes and cannot be compared with segmentations")
        if not isinstance(content, dict) or not all(content.get(key) for key in ("cases", "mean", "regions")):
            raise InputError(f"{file} is not a result of nnssl_plugin evaluate, or has no case")
        for case, regions in content["cases"].items():
            for region, scores in regions.items():
                for metric, score in scores.items():
                    if not (score is None or (isinstance(score, int | float) and math.isfinite(score))):
                        raise InputError(
                            f"{file}: {metric} of {region} in {case} is {score!r}, not a number; evaluate again"
                        )
        if content.get("problems"):
            raise InputError(
                f"{file} has no score for {len(content['problems'])} cases, first: {content['problems'][0]}. Evaluate again "
                "when that is put right"
            )
        if file in seeds:
            raise InputError(f"{file} is named twice; each seed has its own")
        seeds[file] = content
    return seeds


def common_cases(runs: Sequence[RunScores], intersect: bool) -> list[str]:
    """The cases that all runs and seeds have.

    Args:
        runs: at least two.
        intersect: whether cases that are not in all of them are left out.

    Raises:
        InputError: the runs are of different evaluations, versions of the metrics or cases, or have no case in common.
    """
    results = [(run.name, file, one) for run in runs for file, one in run.seeds.items()]
    _, first_file, first = results[0]
    refuse_mixed_versions({file: one for _, file, one in results})
    for _, file, one in results[1:]:
        for what, ours, theirs in (
            ("regions", _with_values(one), _with_values(first)),
            ("metrics", metrics_of(one), metrics_of(first)),
        ):
            if ours != theirs:
                raise InputError(f"{file} has the {what} {', '.join(ours)}, {first_file} has {', '.join(theirs)}")
    everything = set().union(*(run.cases for run in runs))
    missing = {file: sorted(everything - one["cases"].keys()) for _, file, one in results}
    if any(missing.values()) and not intersect:
        lines = [f"{file} lacks {', '.join(cases)}" for file, cases in missing.items() if cases]
        raise InputError(
            "the runs are not of the same cases: " + "; ".join(lines) + ". --intersect compares the cases that all have"
        )
    cases = sorted(everything - set().union(*map(set, missing.values())))
    if not cases:
        raise InputError("the runs have no case in common")
    return cases


def _with_values(result: Mapping[str, Any]) -> list[str]:
    return [f"{region} ({'+'.join(map(str, values))})" for region, values in result["regions"].items()]


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in NAMES if (path / name).is_file()]
    if len(found) != 1:
        there = "several results" if found else "no result"
        raise InputError(f"{path} holds {there} of nnssl_plugin evaluate ({', '.join(NAMES)}); name the file")
    return found[0]
