"""Where a place of one crop of a case lies in another crop, from the coordinates that both carry."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def places_in(coordinates: Tensor, positions: Tensor) -> Tensor:
    """Where positions of the case's image lie in a crop, from −1 (its first voxel) to 1 (its last), axis by axis.

    nnU-Net's spatial transforms are affine, so two voxels on every axis tell the whole crop's.

    Shape: `[B, A, *P]` coordinates of the crop's voxels, `[B, L, A]` positions → `[B, L, A]`.
    """
    sizes = coordinates.shape[2:]
    # Not the corners: where a crop reaches beyond what was read of the image, it has no coordinates.
    low, high = [size // 4 for size in sizes], [size - 1 - size // 4 for size in sizes]
    origin = _voxel(coordinates, low)
    columns = []
    for axis in range(len(sizes)):
        index = [*low[:axis], high[axis], *low[axis + 1 :]]
        columns.append((_voxel(coordinates, index) - origin) / max(high[axis] - low[axis], 1))
    matrix = torch.stack(columns, dim=2).double()
    # A crop that no voxel was read of has no such matrix; nothing of it is foreground, so its places do not count.
    inverse = torch.linalg.inv_ex(matrix)[0].nan_to_num(0.0, 0.0, 0.0)
    offset = positions.double() - origin[:, None].double()
    voxels = torch.einsum("bij,blj->bli", inverse, offset)
    # Axis by axis with plain numbers: a tensor made of a list would be copied to the device, which waits for it.
    places = [2 * (voxels[..., axis] + low[axis]) / max(size - 1, 1) - 1 for axis, size in enumerate(sizes)]
    return torch.stack(places, dim=-1).to(coordinates.dtype)


def sample(values: Tensor, places: Tensor, mode: str = "bilinear") -> Tensor:
    """Values `[B, F, *S]` at `[B, L, A]` places as `places_in` gives them → `[B, L, F]`; 0 outside."""
    grid = places.flip(-1).to(values.dtype)
    grid = grid[:, :, None] if values.ndim == 4 else grid[:, :, None, None]
    taken = F.grid_sample(values, grid, mode=mode, padding_mode="zeros", align_corners=True)
    return taken.flatten(2).transpose(1, 2)


def _voxel(values: Tensor, index: Sequence[int]) -> Tensor:
    """`[B, A, *P]` → `[B, A]`, at one index of every axis."""
    for position in index:
        values = values.select(2, position)
    return values
