from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window


def padded(image: npt.NDArray, patch: Sequence[int]) -> npt.NDArray:
    """`[C, *S]` with zeros behind the axes that are shorter than the patch; coordinates stay what they are."""
    short = [(0, max(0, edge - size)) for edge, size in zip(patch, image.shape[1:], strict=True)]
    return np.pad(image, [(0, 0), *short]) if any(more for _, more in short) else image


def tile_corners(shape: Sequence[int], patch: Sequence[int], locations: npt.NDArray) -> npt.NDArray:
    """`[T, 3]`, first voxels of the tiles that cover an image with as little overlap as it takes.

    Args:
        shape: of the image, at least `patch`.
        patch: of three axes; a flat patch has 1 for the first.
        locations: `[L, 3]`, of foreground; tiles without any are left out.
    """
    steps = compute_steps_for_sliding_window(tuple(shape), tuple(patch), 1.0)
    corners = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    filled = [bool(_inside(locations, corner, patch).any()) for corner in corners]
    return corners[np.array(filled)]


def nearest_tile(voxels: npt.NDArray, corners: npt.NDArray, patch: Sequence[int]) -> npt.NDArray:
    """`[V]`, for each voxel the tile that holds it farthest from its border."""
    inside = np.stack([_inside(voxels, corner, patch) for corner in corners])
    centres = corners + (np.asarray(patch) - 1) / 2
    distances = np.abs(voxels[None] - centres[:, None]).max(axis=2)
    nearest: npt.NDArray = np.where(inside, distances, np.inf).argmin(axis=0)
    return nearest


def _inside(voxels: npt.NDArray, corner: npt.NDArray, patch: Sequence[int]) -> npt.NDArray:
    inside: npt.NDArray = ((voxels >= corner) & (voxels < corner + np.asarray(patch))).all(axis=1)
    return inside
