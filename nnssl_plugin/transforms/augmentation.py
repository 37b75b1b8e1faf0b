"""nnU-Net's own training augmentation, split where foreground and denormalisation come in between."""

from collections.abc import Sequence

from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import Convert2DTo3DTransform, Convert3DTo2DTransform
from batchgeneratorsv2.transforms.utils.remove_label import RemoveLabelTansform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

SPATIAL = (Convert3DTo2DTransform, SpatialTransform, Convert2DTo3DTransform, MirrorTransform)


def stock_augmentation(
    patch_size: Sequence[int],
    rotation: tuple[float, float],
    mirror_axes: tuple[int, ...],
    dummy_2d: bool,
    use_mask_for_norm: list[bool],
) -> tuple[ComposeTransforms, ComposeTransforms]:
    """The transforms of `nnUNetTrainer.get_training_transforms`: those that move voxels, and those that do not.

    Mirroring is among the former: it commutes with the latter. The label −1 outside the foreground is kept.

    Returns:
        Spatial and intensity transforms.
    """
    stock = nnUNetTrainer.get_training_transforms(
        patch_size, rotation, None, mirror_axes, dummy_2d, use_mask_for_norm=use_mask_for_norm
    )
    spatial = [transform for transform in stock.transforms if isinstance(transform, SPATIAL)]
    intensity = [t for t in stock.transforms if not isinstance(t, (*SPATIAL, RemoveLabelTansform))]
    return ComposeTransforms(spatial), ComposeTransforms(intensity)
