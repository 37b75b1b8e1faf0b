from collections.abc import Sequence

import torch
from torch import Tensor


def hidden_cubes(
    shape: Sequence[int],
    cube_size: int,
    shown: float,
    generator: torch.Generator,
    device: torch.device,
    together: bool = False,
) -> Tensor:
    """Which voxels are shown where patches are cut into cubes that are shown or hidden whole.

    Args:
        shape: `[B, C, *P]`; the last cubes of an axis may be cut off.
        cube_size: edge of the cubes in voxels.
        shown: probability of a cube to be shown; none may be left.
        generator: draws, on `device`.
        device: where the mask is made.
        together: all modalities of a cube alike; else each modality by itself.

    Returns:
        `[B, C, *P]`, bool.
    """
    batch, channels, *patch = shape
    cubes = [-(-size // cube_size) for size in patch]
    draw = torch.rand(batch, 1 if together else channels, *cubes, generator=generator, device=device)
    visible = draw < shown
    for axis, size in enumerate(patch, start=2):
        visible = visible.repeat_interleave(cube_size, dim=axis).narrow(axis, 0, size)
    return visible.expand(batch, channels, *patch)
