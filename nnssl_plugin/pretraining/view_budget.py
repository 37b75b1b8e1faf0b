from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from nnssl_plugin.errors import InputError


@dataclass(frozen=True)
class ViewBudget:
    """Crop size `*P` in voxels and patches per step that fit the voxel budget of the plans."""

    crop_size: tuple[int, ...]
    patients: int


def fit_views(
    patch_size: Sequence[int],
    batch_size: int,
    stride: Sequence[int],
    views_per_patch: int,
    patients: int,
    crop_size: Sequence[int] | None = None,
) -> ViewBudget:
    """Trade crop size for patients within the voxels of a supervised step (ours, methods.md 3).

    The budget, batch size times patch size of the plans, counts every encoded view. The crop is the largest one, of the
    patch's proportions, that leaves room for `patients`; it is divisible by the network's stride and keeps two voxels
    per axis at the bottleneck (instance norm over one is an error). Where even the smallest crop is too large for the
    budget, there are fewer patients, but two.

    Args:
        patch_size: of the plans.
        batch_size: of the plans.
        stride: total stride of the network, per axis.
        views_per_patch: encoded views of each patch, over all objectives.
        patients: wanted patches per step.
        crop_size: if set, taken instead of the largest that fits.

    Raises:
        InputError: `crop_size` has the wrong number of axes, is not divisible by the stride, too small or too large.
    """
    smallest = tuple(_smallest_edge(p, s) for p, s in zip(patch_size, stride, strict=True))
    budget = batch_size * prod(patch_size)
    if crop_size is not None:
        _check_crop(crop_size, smallest, stride)
        crop = tuple(crop_size)
    else:
        fits = [
            crop for crop in _crops(patch_size, smallest, stride) if patients * views_per_patch * prod(crop) <= budget
        ]
        crop = max(fits, key=prod, default=smallest)
    room = budget // (views_per_patch * prod(crop))
    if crop_size is not None and room < 2:
        raise InputError(
            f"pretraining.crop_size {list(crop_size)} with {views_per_patch} views leaves no room for two patients in the "
            f"voxel budget of the plans (batch size {batch_size} x patch size {list(patch_size)}); take a smaller one"
        )
    return ViewBudget(crop, max(2, min(patients, room)))


def _smallest_edge(patch: int, stride: int) -> int:
    """Two voxels at the bottleneck, and no thinner than 4 where the patch is not: blurring needs that much."""
    if patch == stride:
        return stride
    return -(-max(2 * stride, min(4, patch)) // stride) * stride


def _crops(patch_size: Sequence[int], smallest: Sequence[int], stride: Sequence[int]) -> set[tuple[int, ...]]:
    """The patch, scaled in steps of a 32nd and rounded down to the stride."""
    return {
        tuple(
            max(low, int(size * share / 32) // step * step)
            for size, low, step in zip(patch_size, smallest, stride, strict=True)
        )
        for share in range(1, 33)
    }


def _check_crop(crop_size: Sequence[int], smallest: Sequence[int], stride: Sequence[int]) -> None:
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
