from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.hidden_cubes import hidden_cubes
from nnssl_plugin.objectives.inpainting import Inpainting
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class MAESettings:
    """Settings of masked autoencoding."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    cube_size: Annotated[int, Field(ge=1)] = 16
    """Edge of the cubes, in voxels."""
    hidden: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """Probability of a cube to be hidden; 0.75 is the paper's share, 0.6 to 0.75 that of CNNs."""


class MAE(Inpainting):
    """Masked autoencoding: restore cubes that are hidden in all modalities (He et al., CVPR 2022, arXiv 2111.06377).

    The paper: 75 % of the tokens of a vision transformer are left out, and a decoder restores their pixels; squared error of
    the hidden ones alone. For CNNs, as nnssl and S3D (arXiv 2410.23132) have it: cubes of 16 are set to 0 and the U-Net
    restores them. Ours: each cube is drawn by itself, so the share varies; foreground only; a clean target under an augmented
    input; pixels are not normalised by cube.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    Settings = MAESettings
    citations = ("He et al. Masked Autoencoders Are Scalable Vision Learners. CVPR 2022. arXiv:2111.06377",)

    def visible(self, batch: PretrainingBatch, generator: torch.Generator) -> Tensor:
        """Whole cubes, in all modalities alike."""
        shape, shown = batch.images["augmented"].shape, 1 - self.settings.hidden
        return hidden_cubes(shape, self.settings.cube_size, shown, generator, batch.foreground.device, together=True)
