"""Two runs on the same cases: means, and differences paired by case."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import wilcoxon

from nnssl_plugin.errors import InputError

RESAMPLINGS = 10_000
BOOTSTRAP_SEED = 12345


@dataclass(frozen=True)
class RegionComparison:
    """Scores of one region, in one order of cases.

    `interval`: 95 % bootstrap interval of the mean difference, over cases; the spread of other seeds is not in it.
    """

    region: str
    first: npt.NDArray[np.float64]
    second: npt.NDArray[np.float64]
    interval: tuple[float, float]

    @property
    def p_value(self) -> float:
        """Of Wilcoxon's signed-rank test, two-sided; 1 where no case differs."""
        differences = self.first - self.second
        return float(wilcoxon(differences).pvalue) if differences.any() else 1.0

    def win_tie_loss(self, lower_is_better: bool = False) -> tuple[int, int, int]:
        """Cases in which first is better than, equal to and worse than second."""
        gain = self.second - self.first if lower_is_better else self.first - self.second
        return int((gain > 0).sum()), int((gain == 0).sum()), int((gain < 0).sum())

    @property
    def difference(self) -> float:
        """Mean of first minus second."""
        return float(np.mean(self.first - self.second))


def compare(first: Mapping[str, Any], second: Mapping[str, Any], metric: str = "Dice") -> list[RegionComparison]:
    """Compare two results of `nnssl_plugin evaluate`, region by region, over the cases that are defined in both.

    Raises:
        InputError: they are not of the same cases.
    """
    if first["cases"].keys() != second["cases"].keys():
        differ = sorted(first["cases"].keys() ^ second["cases"].keys())
        raise InputError(f"the two results are not of the same cases; only one of them has {', '.join(differ)}")
    compared = []
    for region in first["mean"]:
        # What is undefined for a case (None) becomes NaN, and the pair is left out.
        pairs = np.array(
            [[one["cases"][case][region][metric] for one in (first, second)] for case in sorted(first["cases"])],
            dtype=float,
        )
        # Means of the same seeds in another order differ in the last digit, which is no difference.
        ours, theirs = pairs[~np.isnan(pairs).any(axis=1)].round(12).T
        compared.append(RegionComparison(region, ours, theirs, bootstrap_interval(ours - theirs)))
    return compared


def bootstrap_interval(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Percentile bootstrap 95 % interval of the mean, seeded; NaN of no values."""
    if not len(values):
        return math.nan, math.nan
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    means = rng.choice(values, (RESAMPLINGS, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
