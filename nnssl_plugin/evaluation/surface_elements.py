"""The surface of a mask as elements with an area, as DeepMind's surface-distance and so BraTS 2023 have it."""

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
from skimage.measure import marching_cubes

from nnssl_plugin.evaluation.mask import Mask, bounding_box

# The eight voxels around a corner; bit n of a corner's code says whether the n-th of them is in the mask.
AROUND = tuple(product((0, 1), repeat=3))
FULL = 2 ** len(AROUND) - 1


def surface_elements(mask: Mask, spacing: Sequence[float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Where the surface of a mask is, and how much of it.

    An element is a corner of voxels of which some are in the mask and some are not; outside the image none is. Its area
    is that of the surface which marching cubes (Lorensen and Cline 1987) draws between the eight voxels around it. An axis
    of length 1 is no dimension: the mask goes on along it, so that the elements of one slice are those of its contour.

    Args:
        mask: `[Z, Y, X]`.
        spacing: mm per voxel along each axis.

    Returns:
        Positions in mm, shape `[N, 3]`, and areas in mm², shape `[N]`; in a slice the areas are lengths times its thickness.
    """
    window = bounding_box(mask)
    if window is None:
        return np.empty((0, 3)), np.empty(0)
    part = mask[window]
    for axis, size in enumerate(mask.shape):
        width = [(0, 0)] * 3
        width[axis] = (1, 1) if size > 1 else (0, 1)
        part = np.pad(part, width, mode="constant" if size > 1 else "edge")
    corners = tuple(size - 1 for size in part.shape)
    codes = np.zeros(corners, np.uint8)
    for bit, offsets in enumerate(AROUND):
        voxels = part[tuple(slice(offset, offset + size) for offset, size in zip(offsets, corners, strict=True))]
        codes |= voxels.astype(np.uint8) << bit
    surface = (codes != 0) & (codes != FULL)
    first_corner = [side.start - 0.5 for side in window]
    positions = (np.argwhere(surface) + first_corner) * np.asarray(spacing, dtype=float)
    return positions, _areas(spacing)[codes[surface]]


def _areas(spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """Area of the surface between eight voxels, by their code."""
    codes, triangles = _triangles()
    first, second, third = np.moveaxis(triangles * np.asarray(spacing, dtype=float), 1, 0)
    areas = np.linalg.norm(np.cross(second - first, third - first), axis=1) / 2
    table = np.zeros(FULL + 1)
    np.add.at(table, codes, areas)
    return table


@cache
def _triangles() -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """The triangles of every code, for a spacing of 1: their codes `[T]` and their corners `[T, 3, 3]`."""
    codes, triangles = [], []
    for code in range(1, FULL):
        voxels = np.array([code >> bit & 1 for bit in range(len(AROUND))])
        # A surface has no sides: that of seven voxels is that of the eighth. Marching cubes decides by the sides where
        # voxels touch over an edge.
        few = voxels if voxels.sum() <= 4 else 1 - voxels
        corners, faces, _, _ = marching_cubes(few.reshape(2, 2, 2).astype(np.float32), 0.5, method="lorensen")
        triangles.append(corners[faces].astype(float))
        codes += [code] * len(faces)
    return np.array(codes), np.concatenate(triangles)
