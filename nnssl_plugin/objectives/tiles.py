"""Patches cut into a grid of tiles; what a grid leaves over at the end of an axis belongs to no tile."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILES_PER_AXIS = {2: 3, 3: 2}


def tile_grid(patch_size: Sequence[int]) -> tuple[int, ...]:
    """Tiles along each axis: 3×3 of a 2d patch, 2×2×2 of a 3d one."""
    return tuple(min(TILES_PER_AXIS[len(patch_size)], size) for size in patch_size)


def cut_tiles(images: Tensor, grid: Sequence[int]) -> Tensor:
    """`[B, C, *P]` → `[B, T, C, *tile]`, in row-major order of their places."""
    axes = len(grid)
    for axis, count in enumerate(grid):
        size = images.shape[2 + 2 * axis] // count
        images = images.narrow(2 + 2 * axis, 0, count * size).unflatten(2 + 2 * axis, (count, size))
    places, inside = range(2, 2 + 2 * axes, 2), range(3, 3 + 2 * axes, 2)
    return images.permute(0, *places, 1, *inside).flatten(1, axes)


def join_tiles(tiles: Tensor, grid: Sequence[int], patch_size: Sequence[int]) -> Tensor:
    """Undo of `cut_tiles`; what belongs to no tile is 0, the mean of a z-scored image."""
    axes = len(grid)
    apart = tiles.unflatten(1, tuple(grid))
    order = [axis for pair in zip(range(1, 1 + axes), range(2 + axes, 2 + 2 * axes), strict=True) for axis in pair]
    images = apart.permute(0, 1 + axes, *order)
    for axis in range(axes):
        images = images.flatten(2 + axis, 3 + axis)
    rim = [(0, whole - size) for size, whole in zip(images.shape[2:], patch_size, strict=True)]
    return F.pad(images, [pad for pair in reversed(rim) for pad in pair])


def reorder_tiles(tiles: Tensor, order: Tensor) -> Tensor:
    """`[B, T, ...]`, `[B, T]` → at place i the tile whose own place is `order[:, i]`."""
    return tiles[torch.arange(len(tiles), device=tiles.device)[:, None], order]


def pool_to_tiles(grid: Sequence[int]) -> nn.Module:
    """Average pooling of feature maps `[B, F, *S]` to one cell for each tile, `[B, F, *grid]`."""
    return nn.AdaptiveAvgPool2d(tuple(grid)) if len(grid) == 2 else nn.AdaptiveAvgPool3d(tuple(grid))
