"""The tiles of a whole case, at inference."""

from collections.abc import Iterator, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from nnunetv2.inference.sliding_window_prediction import compute_steps_for_sliding_window
from torch import Tensor

from nnssl_plugin.data.foreground import constant_background, foreground_mask

# A tile with less foreground than this share of its voxels shows nothing of the patient.
SMALLEST_SHARE = 0.02
# The network sees so many voxels at once as nnU-Net's plans put into a step of training, which needs more memory than this.
VOXELS_AT_ONCE = 2 * 128**3
MOST_AT_ONCE = 32


def tile_starts(image: npt.NDArray, patch_size: Sequence[int]) -> npt.NDArray[np.int64]:
    """First voxels of tiles that cover the foreground of a preprocessed case.

    Args:
        image: `[C, *S]`, three axes.
        patch_size: of the network; one with two axes takes every slice along the first axis.

    Returns:
        `[T, 3]`, at least one; negative where the patch is larger than the image.
    """
    size = np.array([1, *patch_size] if len(patch_size) == 2 else [*patch_size])
    shape = np.array(image.shape[1:])
    steps = compute_steps_for_sliding_window(tuple(np.maximum(shape, size)), tuple(size), 1.0)
    padding = np.maximum(size - shape, 0) // 2
    starts = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3) - padding
    present = np.array([np.ptp(channel) > 0 for channel in image])
    if not present.any():
        return starts
    background = np.array(
        [constant_background(one) if there else np.nan for one, there in zip(image, present, strict=True)]
    )
    mask = foreground_mask(image, background, present)
    # Sums over boxes, from sums over everything before a voxel.
    sums = np.pad(mask, ((1, 0), (1, 0), (1, 0))).astype(np.int64).cumsum(0).cumsum(1).cumsum(2)
    low, high = np.clip(starts, 0, shape), np.clip(starts + size, 0, shape)
    inside = np.zeros(len(starts), np.int64)
    for corner in np.ndindex(2, 2, 2):
        at = np.where(corner, high, low)
        inside += (-1) ** (3 - sum(corner)) * sums[at[:, 0], at[:, 1], at[:, 2]]
    kept = inside >= SMALLEST_SHARE * size.prod()
    return starts[kept] if kept.any() else starts[[inside.argmax()]]


def read_tiles(image: npt.NDArray, starts: npt.NDArray[np.int64], patch_size: Sequence[int]) -> Iterator[Tensor]:
    """Tiles in batches `[N, C, *P]`, few of them where they are large; what is outside the image is 0, as in training."""
    number = max(1, min(MOST_AT_ONCE, VOXELS_AT_ONCE // prod(patch_size)))
    flat = len(patch_size) == 2
    size = [1, *patch_size] if flat else [*patch_size]
    for first in range(0, len(starts), number):
        tiles = [
            crop_and_pad_nd(image, [[int(s), int(s) + length] for s, length in zip(start, size, strict=True)])
            for start in starts[first : first + number]
        ]
        batch = torch.from_numpy(np.stack(tiles)).float()
        yield batch[:, :, 0] if flat else batch
