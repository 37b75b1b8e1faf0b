from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from nnssl_plugin.errors import InputError
from nnssl_plugin.probing.class_probe import Scores
from nnssl_plugin.probing.estimators import Fit
from nnssl_plugin.probing.labelled_voxels import LabelledVoxels

ATTEMPTS = 1000


def labelled_patients(voxels: Sequence[LabelledVoxels], patients: Sequence[str], count: int, draw: int) -> set[str]:
    """`count` patients to learn from who together have every region that any patient has, drawn by a seed.

    Raises:
        InputError: nobody would be left to be scored on, or no such patients were found.
    """
    names = sorted(set(patients))
    if not 1 <= count < len(names):
        raise InputError(f"--patients {count}: there are {len(names)} patients, and some must be left to be scored on")
    rng = np.random.default_rng(draw)
    learned = [one.targets[~one.scored] for one in voxels]
    there = np.flatnonzero(np.concatenate(learned).any(axis=0))
    for _ in range(ATTEMPTS):
        chosen = set(rng.choice(names, count, replace=False).tolist())
        targets = np.concatenate([one for one, patient in zip(learned, patients, strict=True) if patient in chosen])
        if targets[:, there].any(axis=0).all() and not targets.all(axis=0).any():
            return chosen
    raise InputError(f"no {count} patients were found who together have every label: give more of them (--patients)")


def probe_voxels(
    fit: Fit,
    features: Sequence[npt.NDArray],
    voxels: Sequence[LabelledVoxels],
    patients: Sequence[str],
    count: int,
    draws: Sequence[int],
) -> Scores:
    """Learn each region against the rest from the voxels of a few patients, score on those of all others, once per draw.

    Args:
        fit: of a judge.
        features: `[V, F]` of each case's voxels.
        voxels: of each case.
        patients: of each case.
        count: of patients to learn from.
        draws: seeds of their choice.

    Returns:
        Average precision and balanced accuracy over the scored voxels, averaged over the regions that these have.
    """
    scores: Scores = {"average precision": [], "balanced accuracy": []}
    for draw in draws:
        chosen = labelled_patients(voxels, patients, count, draw)
        learned = [number for number, patient in enumerate(patients) if patient in chosen]
        scored = [number for number, patient in enumerate(patients) if patient not in chosen]
        train = np.concatenate([features[n][~voxels[n].scored] for n in learned]).astype(np.float32)
        test = np.concatenate([features[n][voxels[n].scored] for n in scored]).astype(np.float32)
        wanted = np.concatenate([voxels[n].targets[~voxels[n].scored] for n in learned])
        truth = np.concatenate([voxels[n].targets[voxels[n].scored] for n in scored])
        groups = np.concatenate([np.repeat(patients[n], (~voxels[n].scored).sum()) for n in learned])
        precision, accuracy = [], []
        for region in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)):
            probability = fit(train, wanted[:, region], groups).predict_proba(test)[:, 1]
            precision.append(average_precision_score(truth[:, region], probability))
            accuracy.append(balanced_accuracy_score(truth[:, region], probability > 0.5))
        scores["average precision"].append(float(np.mean(precision)))
        scores["balanced accuracy"].append(float(np.mean(accuracy)))
    return scores


def chance(voxels: Sequence[LabelledVoxels]) -> Scores:
    """Of a judge that knows nothing: the share of the region in the scored voxels, averaged over regions, and a half."""
    truth = np.concatenate([one.targets[one.scored] for one in voxels])
    return {"average precision": [float(truth.mean(axis=0).mean())], "balanced accuracy": [0.5]}
