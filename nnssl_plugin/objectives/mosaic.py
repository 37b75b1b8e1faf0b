from collections.abc import Sequence

import torch
from torch import Tensor

from nnssl_plugin.data.mosaic_axes import mosaic_axes


def block_map(patch_size: Sequence[int], gap: int = 0, device: torch.device | None = None) -> Tensor:
    """Which block each voxel belongs to.

    Args:
        patch_size: `*P`.
        gap: width in voxels of the seam left empty between blocks.
        device: where the map is made.

    Returns:
        `[*P]`: block 0 to 3 in row-major order of the mosaic's plane, 4 in the gap.
    """
    index = torch.zeros(tuple(patch_size), dtype=torch.long, device=device)
    seam = torch.zeros(tuple(patch_size), dtype=torch.bool, device=device)
    for weight, axis in zip((2, 1), mosaic_axes(patch_size), strict=True):
        size = patch_size[axis]
        position = torch.arange(size, device=device).view([-1 if a == axis else 1 for a in range(len(patch_size))])
        index += weight * (position >= size // 2)
        start = size // 2 - gap // 2
        seam |= (position >= start) & (position < start + gap)
    return index.masked_fill(seam, 4)


def compose_mosaic(sources: Tensor, assignment: Tensor, blocks: Tensor) -> Tensor:
    """Fill each block of a patch from the modality assigned to it; blocks keep their position.

    Args:
        sources: `[B, C, *P]`.
        assignment: `[B, 4]`, modality of each block.
        blocks: `[*P]` from `block_map`.

    Returns:
        `[B, 1, *P]`; the gap, which is the caller's to fill, shows modality 0.
    """
    batch = sources.shape[0]
    padded = torch.cat([assignment, assignment.new_zeros(batch, 1)], dim=1)
    channel = padded[:, blocks.flatten()].view(batch, 1, *blocks.shape)
    return sources.gather(1, channel)
