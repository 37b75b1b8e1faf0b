from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.hidden_cubes import hidden_cubes
from nnssl_plugin.objectives.inpainting import Inpainting
from nnssl_plugin.objectives.objective import NetworkShape
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class RestorationSettings:
    """Settings of mosaic restoration; every one is ours."""

    weight: Annotated[float, Field(ge=0)] = 1.0
    """Weight in the total loss."""
    cube_size: Annotated[int, Field(ge=1)] = 16
    """Edge of the cubes, in voxels."""
    shown: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Probability that a modality is shown in a cube; none may be left."""
    shown_weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Weight of shown voxels in the loss, which are augmented and must be cleaned; hidden ones have 1."""


class MosaicRestoration(Inpainting):
    """Mosaic restoration: restore all modalities of a patch from a partial view of them (ours, methods.md 5).

    The patch is cut into cubes; in each cube each modality is shown or hidden independently. What is shown stands in
    its own channel, so the stem learns what fine-tuning will feed it; what is hidden is 0, the mean of a z-scored
    image. The input is augmented, the target is the clean patch: what is shown must be cleaned, what is hidden restored.
    Squared error on the foreground of the modalities a case has. The output layer takes the place of the segmentation
    layers and is not handed over. Kin: MAE, MultiMAE, Vox-MMSD's block-wise modality masking under a clean target.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    Settings = RestorationSettings

    def __init__(self, settings: RestorationSettings, network: NetworkShape) -> None:
        super().__init__(settings, network)
        self.shown_weight = settings.shown_weight

    def visible(self, batch: PretrainingBatch, generator: torch.Generator) -> Tensor:
        """Whole cubes, of each modality by itself."""
        settings, shape = self.settings, batch.images["augmented"].shape
        return hidden_cubes(shape, settings.cube_size, settings.shown, generator, batch.foreground.device)
