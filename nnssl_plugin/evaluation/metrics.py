"""What is measured in each evaluation, and what counts where a mask is empty.

A measure takes prediction and reference `[Z, Y, X]` and the spacing in mm, and returns metric → score; NaN is undefined.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from nnssl_plugin.evaluation.dice import dice
from nnssl_plugin.evaluation.lesionwise import lesionwise_scores
from nnssl_plugin.evaluation.surface_distance import Mask, hd95, surface_distances

Measure = Callable[[Mask, Mask, Sequence[float]], dict[str, float]]

# The diagonal of a BraTS volume, 240 × 240 × 155 voxels of 1 mm.
BRATS_WORST_HD95_MM = 373.13


def brats_metrics(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """BraTS: empty in both gives Dice 1, HD95 0 and sensitivity 1; in one of them 0, 373.13 mm and 0."""
    lesions = lesionwise_scores(prediction, reference, spacing)
    return {
        **_overlap_and_distance(prediction, reference, spacing, BRATS_WORST_HD95_MM),
        "Lesion-wise Dice": lesions.dice,
        "Lesion-wise HD95": lesions.hd95,
    }


def region_metrics(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """Any data set [ours]: as BraTS, but with the image's own diagonal for HD95 where one of the masks is empty."""
    return _overlap_and_distance(prediction, reference, spacing, diagonal_mm(reference, spacing))


def chaos_metrics(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """CHAOS: Dice, RAVD (%), ASSD and MSSD (mm).

    Empty masks [ours]: in both, Dice 1 and the rest 0; in one of them, Dice 0, the image's diagonal for the distances, and
    RAVD 100 % without a prediction, undefined without a reference.
    """
    ours, theirs = np.count_nonzero(prediction), np.count_nonzero(reference)
    scores = {"Dice": dice(prediction, reference)}
    if ours and theirs:
        there, back = surface_distances(prediction, reference, spacing)
        both = np.concatenate([there, back])
        return {
            **scores,
            "RAVD": 100 * abs(ours - theirs) / theirs,
            "ASSD": float(both.mean()),
            "MSSD": float(both.max()),
        }
    distance = diagonal_mm(reference, spacing) if ours or theirs else 0.0
    volume = 100.0 if theirs else math.nan if ours else 0.0
    return {**scores, "RAVD": volume, "ASSD": distance, "MSSD": distance}


def diagonal_mm(mask: Mask, spacing: Sequence[float]) -> float:
    """Diagonal of an image."""
    return float(np.linalg.norm(np.multiply(mask.shape, spacing)))


def _overlap_and_distance(
    prediction: Mask, reference: Mask, spacing: Sequence[float], worst_mm: float
) -> dict[str, float]:
    ours, theirs = np.count_nonzero(prediction), np.count_nonzero(reference)
    hit = np.count_nonzero(prediction & reference)
    outside = reference.size - theirs
    distance = hd95(prediction, reference, spacing) if ours and theirs else worst_mm if ours or theirs else 0.0
    return {
        "Dice": dice(prediction, reference),
        "HD95": distance,
        "Sensitivity": hit / theirs if theirs else 0.0 if ours else 1.0,
        "Specificity": 1 - (ours - hit) / outside if outside else 1.0,
    }
