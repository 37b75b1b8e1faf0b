"""Measures of predicted classes over many weighted samples of the cases at once, for bootstraps.

With equal weights each is scikit-learn's, which takes one sample at a time.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# Of truth `[N]`, probabilities `[N, K]` and weights `[samples, N]` → `[samples]`; NaN for a sample that lacks a class.
Measure = Callable[[np.ndarray, Floats, Floats], Floats]


def weighted_auc(truth: np.ndarray, probabilities: Floats, weights: Floats) -> Floats:
    """Area under the ROC curve, one class against the others, averaged over classes; as scikit-learn's of each sample."""
    count = probabilities.shape[1]
    # Of two classes, either gives the same.
    indices = [count - 1] if count == 2 else range(count)
    return np.mean([_of_one(truth == index, probabilities[:, index], weights) for index in indices], axis=0)


def weighted_balanced_accuracy(truth: np.ndarray, probabilities: Floats, weights: Floats) -> Floats:
    """Mean over the classes of the share of their cases that is right."""
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    shares = []
    for index in range(probabilities.shape[1]):
        own = weights * (truth == index)
        shares.append(_divided(own @ right, own.sum(axis=1)))
    return np.mean(shares, axis=0)


def weighted_accuracy(truth: np.ndarray, probabilities: Floats, weights: Floats) -> Floats:
    """Share of the cases that is right."""
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    return _divided(weights @ right, weights.sum(axis=1))


def weighted_f1_macro(truth: np.ndarray, probabilities: Floats, weights: Floats) -> Floats:
    """Mean F1 over classes."""
    predicted = probabilities.argmax(axis=1)
    scores = []
    for index in range(probabilities.shape[1]):
        hits = weights @ ((truth == index) & (predicted == index)).astype(np.float64)
        both = weights @ ((truth == index).astype(np.float64) + (predicted == index))
        scores.append(2 * hits / np.where(both > 0, both, 1))
    return np.mean(scores, axis=0)


MEASURES: dict[str, Measure] = {
    "AUC": weighted_auc,
    "balanced accuracy": weighted_balanced_accuracy,
    "accuracy": weighted_accuracy,
    "F1 macro": weighted_f1_macro,
}


def _of_one(positive: np.ndarray, scores: Floats, weights: Floats) -> Floats:
    ours, theirs = scores[positive][:, None], scores[~positive][None]
    # 1 where a case of the class has more, one half where both have the same.
    wins = (ours > theirs) + 0.5 * (ours == theirs)
    of_class, others = weights[:, positive], weights[:, ~positive]
    won = ((of_class @ wins) * others).sum(axis=1)
    return _divided(won, of_class.sum(axis=1) * others.sum(axis=1))


def _divided(values: Floats, totals: Floats) -> Floats:
    return np.divide(values, totals, out=np.full(len(values), np.nan), where=totals > 0)
