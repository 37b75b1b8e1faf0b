from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nnssl_plugin.evaluation.mask import Mask, bounding_box


def surface_voxels(mask: Mask, spacing: Sequence[float], image_edge: bool) -> npt.NDArray[np.float64]:
    """Centres of the voxels of a mask that have a face neighbour outside it.

    An axis of length 1 is no dimension: there are no neighbours along it.

    Args:
        mask: `[Z, Y, X]`.
        spacing: mm per voxel along each axis.
        image_edge: whether what lies beyond the image is outside the mask. MONAI says yes, CHAOS no.

    Returns:
        Positions in mm, shape `[N, 3]`.
    """
    window = bounding_box(mask, margin=1)
    if window is None:
        return np.empty((0, mask.ndim))
    part = mask[window]
    inner = part.copy()
    for axis, size in enumerate(mask.shape):
        if size == 1:
            continue
        line, eroded = np.moveaxis(part, axis, 0), np.moveaxis(inner, axis, 0)
        eroded[1:] &= line[:-1]
        eroded[:-1] &= line[1:]
        if image_edge:
            eroded[[0, -1]] = False
    corner = [side.start for side in window]
    return (np.argwhere(part & ~inner) + corner) * np.asarray(spacing, dtype=float)
