from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from nnssl_plugin.probing.estimators import Fit
from nnssl_plugin.probing.probed_classes import FOLDS, ProbedClasses

# Score → a value of each draw.
Scores = dict[str, list[float]]


def probe_classes(
    fit: Fit, pooled: npt.NDArray, column: ProbedClasses, patients: Sequence[str], draws: Sequence[int]
) -> Scores:
    """Cross-validation by patients, stratified by class, once per draw.

    Args:
        fit: of a judge.
        pooled: `[N, F]`, of all cases.
        column: classes of some of them.
        patients: of all cases.
        draws: seeds of the folds.

    Returns:
        Accuracy, balanced accuracy and AUC (of several classes: each against the rest, averaged), over all cases of a draw.
    """
    features, classes, groups = pooled[column.rows], column.classes, np.asarray(patients)[column.rows]
    scores: Scores = {"accuracy": [], "balanced accuracy": [], "AUC": []}
    for draw in draws:
        probabilities = np.zeros((len(classes), len(column.names)))
        split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=draw)
        for train, test in split.split(features, classes, groups):
            fitted = fit(features[train], classes[train], groups[train])
            probabilities[np.ix_(test, fitted.classes_)] = fitted.predict_proba(features[test])
        predicted = probabilities.argmax(axis=1)
        of_class = probabilities[:, 1] if len(column.names) == 2 else probabilities
        scores["accuracy"].append(float(accuracy_score(classes, predicted)))
        scores["balanced accuracy"].append(float(balanced_accuracy_score(classes, predicted)))
        scores["AUC"].append(float(roc_auc_score(classes, of_class, multi_class="ovr")))
    return scores


def majority(column: ProbedClasses) -> Scores:
    """Of saying the most frequent class of every case."""
    return {
        "accuracy": [float(np.bincount(column.classes).max() / len(column.classes))],
        "balanced accuracy": [1 / len(column.names)],
        "AUC": [0.5],
    }
