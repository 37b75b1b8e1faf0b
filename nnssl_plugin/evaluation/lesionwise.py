"""Lesion-wise Dice and HD95 of BraTS 2023: every lesion counts the same, a missed or a false one scores worst."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from nnssl_plugin.evaluation.dice import dice
from nnssl_plugin.evaluation.mask import Mask, bounding_box
from nnssl_plugin.evaluation.surface_distance import hd95

# The challenge's number for a distance there is none of: a bit more than the diagonal of 240 × 240 × 155 voxels of 1 mm.
WORST_HD95_MM = 374.0
SMALLEST_MM3 = 50.0
DILATIONS = 3


class LesionwiseScores(NamedTuple):
    """Means over lesions; numbers of reference lesions that count, of missed ones among them, and of false lesions."""

    dice: float
    hd95: float
    lesions: int
    missed: int
    false: int


def lesionwise_scores(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> LesionwiseScores:
    """Score lesion by lesion, as BraTS 2023's published evaluation of gliomas does [code].

    Lesions are 26-connected. Reference lesions that touch after three dilations (by a voxel, over faces and edges) are
    one. Predicted lesions that touch a dilated reference lesion are compared with that lesion, undilated; those that
    touch none are false, whatever their size. Reference lesions of at most 50 mm³ are left out, yet what touches them is
    not false. Nothing to score gives Dice 1 and HD95 0.

    Args:
        prediction: `[Z, Y, X]`.
        reference: `[Z, Y, X]`.
        spacing: mm per voxel along each axis.
    """
    faces_edges, everything = ndimage.generate_binary_structure(3, 2), ndimage.generate_binary_structure(3, 3)
    window = bounding_box(prediction | reference, DILATIONS)
    if window is None:
        return LesionwiseScores(1.0, 0.0, 0, 0, 0)
    prediction, reference = prediction[window], reference[window]
    joined, count = ndimage.label(ndimage.binary_dilation(reference, faces_edges, DILATIONS), everything)
    predicted, found = ndimage.label(prediction, everything)
    predicted_boxes = ndimage.find_objects(predicted)
    volume = float(np.prod(spacing))

    dices, distances, missed = [], [], 0
    touching: set[int] = set()
    for number, box in enumerate(ndimage.find_objects(joined, count), 1):
        # The box holds the dilated lesion whole, and so the lesion, and nothing of it is cut by the border of the box. It is
        # one voxel thick only where the image is: a lesion of one slice keeps its surface.
        lesion = reference[box] & (joined[box] == number)
        near = ndimage.binary_dilation(lesion, faces_edges, DILATIONS)
        touched = {int(value) for value in np.unique(predicted[box][near]) if value}
        touching |= touched
        if np.count_nonzero(lesion) * volume <= SMALLEST_MM3:
            continue
        if not touched:
            missed += 1
            dices.append(0.0)
            distances.append(WORST_HD95_MM)
            continue
        both = _hull([box, *(predicted_boxes[value - 1] for value in touched)])
        ours, theirs = np.isin(predicted[both], list(touched)), reference[both] & (joined[both] == number)
        dices.append(dice(ours, theirs))
        distances.append(hd95(ours, theirs, spacing))
    false = found - len(touching)
    lesions = len(dices)
    if lesions + false == 0:
        return LesionwiseScores(1.0, 0.0, 0, 0, 0)
    return LesionwiseScores(
        sum(dices) / (lesions + false),
        (sum(distances) + false * WORST_HD95_MM) / (lesions + false),
        lesions,
        missed,
        false,
    )


def _hull(boxes: Sequence[tuple[slice, ...]]) -> tuple[slice, ...]:
    """The smallest box around all."""
    sides = zip(*boxes, strict=True)
    return tuple(slice(min(side.start for side in along), max(side.stop for side in along)) for along in sides)
