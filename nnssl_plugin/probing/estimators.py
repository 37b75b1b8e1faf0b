"""The two probes of frozen features: a linear probe and the nearest neighbours."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
INNER_FOLDS = 3
NEIGHBOURS = 10

# Features, labels, patients → fitted classifier.
Fit = Callable[[npt.NDArray, npt.NDArray, npt.NDArray], Any]


def fit_linear(features: npt.NDArray, labels: npt.NDArray, patients: npt.NDArray) -> Any:
    """Logistic regression on standardised features, classes weighted alike.

    Its C is chosen by balanced accuracy over folds of the training patients.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=300))
    folds = min(INNER_FOLDS, len(set(patients)))
    with warnings.catch_warnings():
        # Folds of few patients may lack a class, and features without information do not converge: the scores say so.
        warnings.simplefilter("ignore", (UserWarning, ConvergenceWarning))
        if folds < 2:
            return model.fit(features, labels)
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
        grid = {"logisticregression__C": STRENGTHS}
        return GridSearchCV(model, grid, scoring="balanced_accuracy", cv=split).fit(features, labels, groups=patients)


def fit_neighbours(features: npt.NDArray, labels: npt.NDArray, patients: npt.NDArray) -> Any:
    """The `NEIGHBOURS` nearest by the angle between standardised features, nearer ones counting more."""
    nearest = KNeighborsClassifier(min(NEIGHBOURS, len(labels)), weights="distance", metric="cosine")
    return make_pipeline(StandardScaler(), nearest).fit(features, labels)


PROBES: Mapping[str, Fit] = {"linear": fit_linear, "k-NN": fit_neighbours}
