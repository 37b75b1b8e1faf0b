"""Several runs on the same cases as one table: each against the first."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnssl_plugin.report.comparison import RegionComparison, compare
from nnssl_plugin.report.evaluation_table import LOWER_IS_BETTER, digits, metrics_of, titled
from nnssl_plugin.report.run_scores import RunScores
from nnssl_plugin.report.table_text import Table


@dataclass(frozen=True)
class Compared:
    """One run, region and metric, paired with the first run."""

    run: RunScores
    metric: str
    pair: RegionComparison
    seed_means: list[float]

    @property
    def win_tie_loss(self) -> tuple[int, int, int]:
        """Cases in which the run is better than, equal to and worse than the first."""
        return self.pair.win_tie_loss(self.metric in LOWER_IS_BETTER)


def compare_runs(runs: Sequence[RunScores], cases: Sequence[str]) -> list[Compared]:
    """Every run against the first (and the first against itself), by metric, region and run."""
    results = [run.result(cases) for run in runs]
    compared = []
    for metric in metrics_of(results[0]):
        by_run = [compare(result, results[0], metric) for result in results]
        for pairs in zip(*by_run, strict=True):
            for run, pair in zip(runs, pairs, strict=True):
                compared.append(Compared(run, metric, pair, run.seed_means(cases, pair.region, metric)))
    return compared


def comparison_rows(compared: Sequence[Compared]) -> list[dict[str, Any]]:
    """As `comparison_table`, in numbers, for JSON; None where there is nothing to compute."""
    rows: list[dict[str, Any]] = []
    for one in compared:
        pair, baseline = one.pair, one.run is compared[0].run or not len(one.pair.first)
        rows.append(
            {
                "metric": one.metric,
                "region": pair.region,
                "run": one.run.name,
                "mean": float(pair.first.mean()) if len(pair.first) else None,
                "seeds": one.seed_means,
                "cases": len(pair.first),
                "difference": None if baseline else pair.difference,
                "interval": None if baseline else list(pair.interval),
                "p_value": None if baseline else pair.p_value,
                "win_tie_loss": None if baseline else list(one.win_tie_loss),
            }
        )
    return rows


def comparison_table(compared: Sequence[Compared]) -> Table:
    """A row per metric, region and run; the first run has no difference."""
    baseline = compared[0].run
    rows = []
    for one in compared:
        pair, metric = one.pair, one.metric
        spread = digits(metric, float(np.std(one.seed_means, ddof=1))) if len(one.seed_means) > 1 else ""
        row = [titled(metric), pair.region, one.run.name, _mean(metric, pair), spread, str(len(pair.first))]
        if one.run is baseline or not len(pair.first):
            rows.append([*row, "", "", "", ""])
            continue
        low, high = pair.interval
        rows.append(
            [
                *row,
                _signed(metric, pair.difference),
                f"{_signed(metric, low)} to {_signed(metric, high)}",
                f"{pair.p_value:.3g}",
                "/".join(map(str, one.win_tie_loss)),
            ]
        )
    header = ["metric", "region", "run", "mean", "sd of seeds", "cases", "difference", "95 % interval", "Wilcoxon p"]
    return Table([*header, "win/tie/loss"], rows, range(3, 10))


def _mean(metric: str, pair: RegionComparison) -> str:
    return digits(metric, float(pair.first.mean()) if len(pair.first) else None)


def _signed(metric: str, value: float) -> str:
    return ("+" if value >= 0 else "-") + digits(metric, abs(value))
