"""Evaluations of runs that are to be compared: one per run, or one per seed of a run, over the same cases."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnssl_plugin.errors import InputError
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


def read_run(text: str) -> RunScores:
    """Read a run as it is named on the command line: `[NAME=]PATH[,PATH…]`, a path for each seed.

    A path is a file of `nnssl_plugin evaluate`, or a folder that holds one.

    Raises:
        InputError: a path is none of both, or the evaluation left cases out.
    """
    name, equals, paths = text.rpartition("=")
    files = [_file(Path(path)) for path in paths.split(",")]
    seeds = {}
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read: {error}") from None
        if not isinstance(content, dict) or not {"cases", "mean", "regions"} <= content.keys():
            raise InputError(f"{file} is not a result of nnssl_plugin evaluate")
        if content.get("problems"):
            raise InputError(
                f"{file} has no score for {len(content['problems'])} cases, first: {content['problems'][0]}. Evaluate again "
                "when that is put right"
            )
        if file in seeds:
            raise InputError(f"{text} names {file} twice; each seed has its own")
        seeds[file] = content
    return RunScores(name if equals else paths, seeds)


def common_cases(runs: Sequence[RunScores], intersect: bool) -> list[str]:
    """The cases that all runs and seeds have.

    Args:
        runs: at least two.
        intersect: whether cases that are not in all of them are left out.

    Raises:
        InputError: the runs are of different evaluations or cases, or have none in common.
    """
    results = [(run.name, file, one) for run in runs for file, one in run.seeds.items()]
    _, first_file, first = results[0]
    for _, file, one in results[1:]:
        for what, ours, theirs in (
            ("regions", list(one["regions"]), list(first["regions"])),
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


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = [path / name for name in NAMES if (path / name).is_file()]
    if len(found) != 1:
        there = "several results" if found else "no result"
        raise InputError(f"{path} holds {there} of nnssl_plugin evaluate ({', '.join(NAMES)}); name the file")
    return found[0]
