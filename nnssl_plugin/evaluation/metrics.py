"""What is measured in each evaluation, and what counts where a mask is empty.

A measure takes prediction and reference `[Z, Y, X]` and the spacing in mm, and returns metric → score; NaN is undefined.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from nnssl_plugin.evaluation.dice import dice
from nnssl_plugin.evaluation.lesionwise import WORST_HD95_MM, lesionwise_scores
from nnssl_plugin.evaluation.mask import Mask, diagonal_mm
from nnssl_plugin.evaluation.surface_distance import hd95, hd95_of_voxel_centres, nearest_distances
from nnssl_plugin.evaluation.surface_voxels import surface_voxels

Measure = Callable[[Mask, Mask, Sequence[float]], dict[str, float]]


def brats_metrics(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """BraTS 2023 [code]: empty in both gives Dice 1, HD95 0 and sensitivity 1; in one of them 0, 374 mm and 0."""
    lesions = lesionwise_scores(prediction, reference, spacing)
    return {
        **_overlap_and_distance(prediction, reference, spacing, WORST_HD95_MM),
        "Lesion-wise Dice": lesions.dice,
        "Lesion-wise HD95": lesions.hd95,
    }


def region_metrics(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """Any data set [ours]: as BraTS, but with the image's own diagonal for HD95 where one of the masks is empty."""
    return _overlap_and_distance(prediction, reference, spacing, diagonal_mm(reference, spacing))


def chaos_metrics(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> dict[str, float]:
    """CHAOS [code]: Dice, RAVD (%), ASSD and MSSD (mm) between surface voxels; the edge of the image is no surface.

    Empty masks [ours]: in both, Dice 1 and the rest 0; in one of them, Dice 0, the image's diagonal for the distances, and
    RAVD 100 % without a prediction, undefined without a reference. A mask that fills the image has no surface: unless
    both do, the distances are the diagonal too.
    """
    ours, theirs = np.count_nonzero(prediction), np.count_nonzero(reference)
    volume = 100 * abs(ours - theirs) / theirs if theirs else math.nan if ours else 0.0
    surfaces = [surface_voxels(mask, spacing, image_edge=False) for mask in (prediction, reference)]
    if np.array_equal(prediction, reference):
        mean = largest = 0.0
    elif all(map(len, surfaces)):
        distances = np.concatenate(nearest_distances(*surfaces))
        mean, largest = float(distances.mean()), float(distances.max())
    else:
        mean = largest = diagonal_mm(reference, spacing)
    return {"Dice": dice(prediction, reference), "RAVD": volume, "ASSD": mean, "MSSD": largest}


def _overlap_and_distance(
    prediction: Mask, reference: Mask, spacing: Sequence[float], worst_mm: float
) -> dict[str, float]:
    ours, theirs = np.count_nonzero(prediction), np.count_nonzero(reference)
    hit = np.count_nonzero(prediction & reference)
    outside = reference.size - theirs

    def distance(measure: Callable[[Mask, Mask, Sequence[float]], float]) -> float:
        if ours == theirs == hit:
            return 0.0
        return measure(prediction, reference, spacing) if ours and theirs else worst_mm

    return {
        "Dice": dice(prediction, reference),
        "HD95": distance(hd95),
        "HD95 of voxel centres": distance(hd95_of_voxel_centres),
        "Sensitivity": hit / theirs if theirs else 0.0 if ours else 1.0,
        "Specificity": 1 - (ours - hit) / outside if outside else 1.0,
    }
