"""Distances between the surfaces of two masks, in mm, for any voxel spacing."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

Mask = npt.NDArray[np.bool_]


def surface_points(mask: Mask, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """Centres in mm `[N, axes]` of the surface voxels: those with a face neighbour outside the mask or the image."""
    window = bounding_box(mask)
    if window is None:
        return np.empty((0, mask.ndim))
    part = mask[window]
    inner = part.copy()
    for axis in range(mask.ndim):
        line, eroded = np.moveaxis(part, axis, 0), np.moveaxis(inner, axis, 0)
        eroded[1:] &= line[:-1]
        eroded[:-1] &= line[1:]
        eroded[[0, -1]] = False
    corner = [side.start for side in window]
    return (np.argwhere(part & ~inner) + corner) * np.asarray(spacing, dtype=float)


def bounding_box(mask: Mask, margin: int = 0) -> tuple[slice, ...] | None:
    """The smallest box that holds all that is set, widened by `margin` voxels; None if nothing is set."""
    sides = []
    for axis in range(mask.ndim):
        (used,) = np.nonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not len(used):
            return None
        sides.append(slice(max(0, int(used[0]) - margin), min(int(used[-1]) + 1 + margin, mask.shape[axis])))
    return tuple(sides)


def surface_distances(
    prediction: Mask, reference: Mask, spacing: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distance of every surface voxel to the nearest one of the other surface, in mm.

    Time and memory go with the number of surface voxels, not with the image.

    Args:
        prediction: not empty.
        reference: not empty, of equal shape.
        spacing: mm per voxel along each axis.

    Returns:
        From the prediction's surface to the reference's, and back.
    """
    ours, theirs = surface_points(prediction, spacing), surface_points(reference, spacing)
    # Trees of balanced nodes cost more to build than these queries take.
    trees = [cKDTree(points, balanced_tree=False, compact_nodes=False) for points in (ours, theirs)]
    return trees[1].query(ours)[0], trees[0].query(theirs)[0]


def hd95(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """The larger of the two directed 95th percentiles of the surface distances, in mm; neither mask is empty."""
    return max(float(np.percentile(distances, 95)) for distances in surface_distances(prediction, reference, spacing))
