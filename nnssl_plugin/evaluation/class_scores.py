"""Scores of predicted classes, through scikit-learn."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BINS = 10
# In tables, in this order; of the loss and the errors less is better.
METRICS = (
    "AUC",
    "balanced accuracy",
    "accuracy",
    "F1 macro",
    "F1 of the positive class",
    "calibration error",
    "Brier score",
    "log loss",
)


def positive_class(truth: npt.NDArray[np.int64], classes: Sequence[str]) -> int:
    """Index of the class that counts as positive unless one is named: the rarest, the last of equally rare ones."""
    counts = np.bincount(truth, minlength=len(classes))
    return int(len(classes) - 1 - counts[::-1].argmin())


def class_scores(
    truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], positive: int
) -> dict[str, float]:
    """Every score of a column.

    AUC is that of one class against the others, averaged over classes (of two: of the positive one). The calibration error is
    the mean distance, over ten equal bins of the probability of the predicted class, between that probability and the accuracy
    in the bin (Guo et al., ICML 2017, arXiv 1706.04599, section 2). A score that is not defined is NaN, as AUC where one class
    has no case.

    Args:
        truth: `[N]`, index of the class.
        probabilities: `[N, K]`.
        positive: index of the class whose F1 is given.
    """
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss

    count = probabilities.shape[1]
    predicted = probabilities.argmax(axis=1)
    squared = (probabilities - np.eye(count)[truth]) ** 2
    return {
        "AUC": auc(truth, probabilities, positive),
        "balanced accuracy": float(balanced_accuracy_score(truth, predicted)),
        "accuracy": float(accuracy_score(truth, predicted)),
        "F1 macro": float(f1_score(truth, predicted, average="macro", zero_division=0.0)),
        "F1 of the positive class": float(f1_score(truth == positive, predicted == positive, zero_division=0.0)),
        "calibration error": calibration_error(truth, probabilities),
        "Brier score": float(squared.sum(axis=1).mean()),
        "log loss": float(log_loss(truth, probabilities, labels=list(range(count)))),
    }


def auc(truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], positive: int) -> float:
    """Area under the ROC curve; see `class_scores`."""
    from sklearn.metrics import roc_auc_score

    count = probabilities.shape[1]
    if len(np.unique(truth)) < count:
        return float("nan")
    if count == 2:
        return float(roc_auc_score(truth == positive, probabilities[:, positive]))
    return float(roc_auc_score(truth, probabilities, multi_class="ovr", labels=list(range(count))))


def calibration_error(truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float:
    """Expected calibration error; see `class_scores`."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = [
        (bins == index).mean() * abs(right[bins == index].mean() - confidence[bins == index].mean())
        for index in np.unique(bins)
    ]
    return float(np.sum(gaps))
