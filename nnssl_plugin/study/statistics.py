"""What a difference between two methods is worth: a bootstrap over draws and cases, and Holm's correction."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from nnssl_plugin.study.scores import Case, Floats, Score

RESAMPLINGS = 5000
# Of fewer draws a bootstrap makes too much: its interval is too narrow, and a p-value would say nothing.
FEWEST_DRAWS = 5
BOOTSTRAP_SEED = 12345


@dataclass(frozen=True)
class Difference:
    """Of a method to its control, over the draws, seeds and cases that both have.

    Attributes:
        control: title of the control.
        mean: over draws, of each draw over its seeds.
        interval: 95 %, by a bootstrap over draws and cases: both are drawn again with replacement, independently, because
            every draw is scored on the same cases. Seeds of a draw are averaged.
        p: two-sided, of the same bootstrap, before any correction; NaN for fewer than `FEWEST_DRAWS` draws.
        draws: mean difference of each.
        pretrainings: mean difference over the runs of each pre-training seed.
        better: in how many draws the method is better.
        corrected_p: by Holm, over the recipes of a table.
    """

    control: str
    mean: float
    interval: tuple[float, float]
    p: float
    draws: dict[int, float]
    pretrainings: dict[int, float]
    better: int
    corrected_p: float = math.nan


@dataclass(frozen=True)
class Pair:
    """The same measure of two runs that differ in their method. `draw`: which patients were labelled."""

    draw: int
    pretraining_seed: int | None
    ours: Score
    theirs: Score

    @property
    def cases(self) -> list[Case]:
        """For which both are defined."""
        return sorted(set(self.ours.cases) & set(self.theirs.cases))

    def difference(self, cases: Sequence[Case], weights: Floats) -> Floats:
        """Ours less theirs, of each sample of the cases (`weights`: `[samples, cases]`)."""
        own = self.cases
        known = set(own)
        columns = [i for i, case in enumerate(cases) if case in known]
        return self.ours.over(own, weights[:, columns]) - self.theirs.over(own, weights[:, columns])


def difference_of(control: str, pairs: Sequence[Pair], lower_is_better: bool) -> Difference | None:
    """What pairs of runs say together; None without a pair, or without a case that both runs of a pair have.

    Args:
        control: title of the control.
        pairs: one for each draw, seed and pre-training.
        lower_is_better: of the measure.
    """
    pairs = [pair for pair in pairs if pair.cases]
    if not pairs:
        return None
    cases = sorted({case for pair in pairs for case in pair.cases})
    whole = np.ones((1, len(cases)))
    draws = _by(pairs, [pair.draw for pair in pairs], cases, whole)
    pretrained = [pair for pair in pairs if pair.pretraining_seed is not None]
    pretrainings = _by(pretrained, [pair.pretraining_seed or 0 for pair in pretrained], cases, whole)
    means = {draw: float(values[0]) for draw, values in draws.items()}
    samples = np.stack(list(_by(pairs, [pair.draw for pair in pairs], cases, _samples(len(cases), 0)).values()), axis=1)
    low, high, p = _bootstrap(samples)
    return Difference(
        control,
        float(np.mean(list(means.values()))),
        (low, high),
        p if len(means) >= FEWEST_DRAWS else math.nan,
        means,
        {seed: float(values[0]) for seed, values in pretrainings.items()},
        sum(value < 0 if lower_is_better else value > 0 for value in means.values()),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for that there are several (Holm, Scand. J. Stat. 1979, 6(2):65-70)."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def corrected(differences: Sequence[Difference]) -> list[Difference]:
    """The differences of one table, with Holm's correction over them."""
    known = {i: one.p for i, one in enumerate(differences) if not math.isnan(one.p)}
    p_values = dict(zip(known, holm(list(known.values())), strict=True))
    return [replace(one, corrected_p=p_values.get(i, math.nan)) for i, one in enumerate(differences)]


def _by(pairs: Sequence[Pair], keys: Sequence[int], cases: Sequence[Case], weights: Floats) -> Mapping[int, Floats]:
    """Key → mean difference of its pairs, of each sample of the cases."""
    groups: dict[int, list[Floats]] = {}
    for pair, key in zip(pairs, keys, strict=True):
        groups.setdefault(key, []).append(pair.difference(cases, weights))
    return {key: np.mean(groups[key], axis=0) for key in sorted(groups)}


def _bootstrap(samples: Floats) -> tuple[float, float, float]:
    """Interval and p-value; `samples`: difference of each sample of the cases in each draw, `[samples, draws]`."""
    weights = _samples(samples.shape[1], 1)
    # A draw may have no case of its own in a sample.
    weights = np.where(np.isnan(samples), 0.0, weights)
    total = weights.sum(axis=1)
    means = (weights * np.nan_to_num(samples)).sum(axis=1)[total > 0] / total[total > 0]
    low, high = np.percentile(means, [2.5, 97.5])
    # One is added, as to a permutation test, so that no p-value is 0.
    tails = [(1 + int(count)) / (1 + len(means)) for count in ((means <= 0).sum(), (means >= 0).sum())]
    return float(low), float(high), min(1.0, 2 * min(tails))


@lru_cache(maxsize=32)
def _samples(count: int, stream: int) -> Floats:
    """How often each of `count` is in each bootstrap sample, `[RESAMPLINGS, count]`; the same in every call."""
    rng = np.random.default_rng([BOOTSTRAP_SEED, stream, count])
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLINGS).astype(np.float64)
