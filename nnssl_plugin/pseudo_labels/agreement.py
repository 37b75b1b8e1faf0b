"""How far several predictions of a case can be trusted: how alike they are, and how sure."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from nnssl_plugin.evaluation.dice import dice

Label = int | tuple[int, ...]


def agreement(segmentations: Sequence[np.ndarray], labels: Sequence[Label]) -> float | None:
    """Mean Dice of every pair of segmentations over labels or regions, 0 to 1; None for a single one.

    Args:
        segmentations: of the same case, `[Z, Y, X]`.
        labels: values, or the values of a region, without background; what is in neither of a pair agrees.
    """
    pairs = [
        dice(np.isin(first, label), np.isin(second, label))
        for first, second in combinations(segmentations, 2)
        for label in labels
    ]
    return float(np.mean(pairs)) if pairs else None


def confidence(probabilities: np.ndarray, segmentation: np.ndarray) -> float | None:
    """Mean probability of the most probable label or region over the foreground; None where there is none.

    Args:
        probabilities: `[labels or regions, Z, Y, X]`.
        segmentation: `[Z, Y, X]`, made from them.
    """
    foreground = segmentation > 0
    return float(probabilities.max(axis=0)[foreground].mean()) if foreground.any() else None
