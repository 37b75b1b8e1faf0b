"""Distances between the surfaces of two masks, in mm, for any voxel spacing.

Time and memory go with the size of the surfaces, not with the image.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from nnssl_plugin.evaluation.mask import Mask
from nnssl_plugin.evaluation.surface_elements import surface_elements
from nnssl_plugin.evaluation.surface_voxels import surface_voxels

Points = npt.NDArray[np.float64]
Distances = npt.NDArray[np.float64]


def hd95(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """HD95 as BraTS 2023's published evaluation counts it, with DeepMind's surface-distance [code].

    95 % of the area of one surface is no farther from the other than this, the larger of both ways. For the area see
    `surface_elements`.

    Args:
        prediction: `[Z, Y, X]`, not empty.
        reference: not empty, of equal shape.
        spacing: mm per voxel along each axis.
    """
    (ours, our_areas), (theirs, their_areas) = (surface_elements(mask, spacing) for mask in (prediction, reference))
    there, back = nearest_distances(ours, theirs)
    return max(_distance_of_95_percent(there, our_areas), _distance_of_95_percent(back, their_areas))


def hd95_of_voxel_centres(prediction: Mask, reference: Mask, spacing: Sequence[float]) -> float:
    """HD95 as MONAI counts it: every surface voxel the same, distances from centre to centre.

    The larger of the 95th percentiles of both ways. Arguments as in `hd95`.
    """
    surfaces = (surface_voxels(mask, spacing, image_edge=True) for mask in (prediction, reference))
    return max(float(np.percentile(distances, 95)) for distances in nearest_distances(*surfaces))


def nearest_distances(ours: Points, theirs: Points) -> tuple[Distances, Distances]:
    """Distance of each point to the nearest one of the other set, from ours to theirs and back; none is empty."""
    # Trees of balanced nodes cost more to build than these queries take.
    trees = [cKDTree(points, balanced_tree=False, compact_nodes=False) for points in (ours, theirs)]
    return trees[1].query(ours)[0], trees[0].query(theirs)[0]


def _distance_of_95_percent(distances: Distances, areas: npt.NDArray[np.float64]) -> float:
    """The smallest distance that at least 95 % of the area does not exceed."""
    order = np.argsort(distances)
    share = np.cumsum(areas[order]) / areas.sum()
    return float(distances[order[int(np.searchsorted(share, 0.95))]])
