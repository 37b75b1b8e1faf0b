"""nnU-Net's own training augmentation, split where foreground and denormalisation come in between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTansform
from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

SPATIAL = (Convert3DTo2DTransform, SpatialTransform, Convert2DTo3DTransform, MirrorTransform)


# nnU-Net reads a larger region around a patch for these scales (its own figures).
SCALES = (0.85, 1.25)


@dataclass(frozen=True)
class Augmentation:
    """nnU-Net's training transforms for patches of one size.

    Attributes:
        initial_patch_size: what is read around a patch, so that rotation finds voxels in its corners.
        spatial: transforms that move voxels, from `initial_patch_size` to the patch size: `rotation`, then `mirroring`.
        rotation: rotates and scales; none where it works on slices apart, on which its draw depends.
        mirroring: the other ones of `spatial`.
        intensity: transforms that do not; some write in place.
    """

    initial_patch_size: tuple[int, ...]
    spatial: ComposeTransforms
    rotation: SpatialTransform | None
    mirroring: ComposeTransforms
    intensity: ComposeTransforms

    def draw_rotation(self) -> dict[str, Any] | None:
        """What one patch's rotation and scaling will be, before anything is read; None where that is not known so early."""
        if self.rotation is None:
            return None
        # Of the image its shape alone is looked at.
        parameters: dict[str, Any] = self.rotation.get_parameters(
            image=torch.empty(1, *self.initial_patch_size, device="meta")
        )
        return parameters


def stays_in_place(rotation: Mapping[str, Any] | None) -> bool:
    """Whether a drawn rotation leaves a patch as it is, so that nothing around it is needed."""
    return rotation is not None and rotation["grid"] is None


def stock_augmentation(
    patch_size: Sequence[int],
    rotation: tuple[float, float],
    mirror_axes: tuple[int, ...],
    dummy_2d: bool,
    use_mask_for_norm: list[bool],
) -> Augmentation:
    """The transforms of `nnUNetTrainer.get_training_transforms`, in two groups.

    Mirroring is among those that move voxels: it commutes with the others. The label −1 outside the foreground is kept.
    """
    stock = nnUNetTrainer.get_training_transforms(
        patch_size, rotation, None, mirror_axes, dummy_2d, use_mask_for_norm=use_mask_for_norm
    )
    spatial = [transform for transform in stock.transforms if isinstance(transform, SPATIAL)]
    intensity = [t for t in stock.transforms if not isinstance(t, (*SPATIAL, RemoveLabelTansform))]
    for transform in intensity:
        # Choosing the convolution by timing makes a seeded run depend on how busy the machine is.
        if isinstance(transform, RandomTransform) and isinstance(transform.transform, GaussianBlurTransform):
            transform.transform.benchmark = False
    initial = get_patch_size(patch_size, rotation, rotation, rotation, SCALES).tolist()
    if dummy_2d:
        initial[0] = patch_size[0]
    moving = [transform for transform in spatial if isinstance(transform, SpatialTransform)]
    return Augmentation(
        tuple(initial),
        ComposeTransforms(spatial),
        None if dummy_2d else moving[0],
        ComposeTransforms([transform for transform in spatial if transform not in moving]),
        ComposeTransforms(intensity),
    )
