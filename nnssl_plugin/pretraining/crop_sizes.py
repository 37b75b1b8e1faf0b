"""Sizes of the smaller patches that many patients share a step with; all in voxels."""

from collections.abc import Sequence

from nnssl_plugin.errors import InputError


def smallest_crop(patch_size: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    """Two voxels per axis at the bottleneck, as instance norm over one is an error.

    No thinner than 4 voxels where the patch is not: blurring needs that much.
    """
    return tuple(
        step if size == step else -(-max(2 * step, min(4, size)) // step) * step
        for size, step in zip(patch_size, stride, strict=True)
    )


def crops(patch_size: Sequence[int], smallest: Sequence[int], stride: Sequence[int]) -> set[tuple[int, ...]]:
    """The patch, scaled in steps of a 32nd and rounded down to the stride."""
    return {
        tuple(
            max(low, int(size * share / 32) // step * step)
            for size, low, step in zip(patch_size, smallest, stride, strict=True)
        )
        for share in range(1, 33)
    }


def check_crop(crop_size: Sequence[int], smallest: Sequence[int], stride: Sequence[int]) -> None:
    """Check `pretraining.crop_size`.

    Raises:
        InputError: it has the wrong number of axes, is not divisible by the stride, or is too small.
    """
    if len(crop_size) != len(stride):
        raise InputError(
            f"pretraining.crop_size {list(crop_size)} has not {len(stride)} axes, as the configuration has"
        )
    fits = all(c >= low and c % s == 0 for c, low, s in zip(crop_size, smallest, stride, strict=True))
    if not fits:
        nearest = [max(low, round(c / s) * s) for c, low, s in zip(crop_size, smallest, stride, strict=True)]
        raise InputError(
            f"pretraining.crop_size {list(crop_size)} is not divisible by the network's stride {list(stride)}, or leaves "
            f"less than two voxels at the bottleneck; the nearest possible size is {nearest}"
        )
