from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.contextual_fusion import CONVOLUTIONS
from nnssl_plugin.objectives.hidden_cubes import hidden_cubes
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.weighted_mean import mean_per_patch
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class RestorationSettings:
    """Settings of mosaic restoration; every one is ours.

    `cube_size`: edge in voxels of the cubes in which modalities are shown or hidden.
    `shown`: probability that a modality is shown in a cube; none may be left.
    `shown_weight`: weight of shown voxels in the loss, which are augmented and must be cleaned; hidden ones have 1.
    """

    weight: Annotated[float, Field(ge=0)] = 1.0
    cube_size: Annotated[int, Field(ge=1)] = 16
    shown: Annotated[float, Field(ge=0, lt=1)] = 0.3
    shown_weight: Annotated[float, Field(ge=0, le=1)] = 1.0


class MosaicRestoration(Objective):
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
        super().__init__()
        self.settings = settings
        self.modalities = network.modalities
        convolution = CONVOLUTIONS[len(network.patch_size)]
        self.output = convolution(network.decoder_features[-1], len(network.modalities), 1)

    @classmethod
    def needs(cls, settings: RestorationSettings) -> Needs:
        """One view of the plans' own patches through encoder and decoder. One modality is restored from its surroundings."""
        return Needs("plans", ("augmented", "clean"), views=1, decoder_stages=(-1,))

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """The patch with every modality hidden in part of the cubes."""
        images = batch.images["augmented"]
        visible = hidden_cubes(images.shape, self.settings.cube_size, self.settings.shown, generator, images.device)
        return Views({"partial": images * visible}, {"visible": visible})

    def restored(self, features: Mapping[str, Features]) -> Tensor:
        """`[B, C, *P]`."""
        restored: Tensor = self.output(features["partial"].decoder[-1])
        return restored

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Weighted squared error, each patch counting the same; that of hidden voxels beside that of predicting the mean."""
        images = batch.images["clean"]
        present = batch.present.view(*batch.present.shape, *[1] * (images.ndim - 2))
        scored = batch.foreground & present
        visible = views.targets["visible"]
        error = (self.restored(features).float() - images).square()
        weights = torch.where(visible, self.settings.shown_weight, 1.0) * scored
        loss = mean_per_patch(error, weights).mean()
        with torch.no_grad():
            hidden = (scored & ~visible).float()
            # What predicting each patch's foreground mean would cost, the figure that "restored" has to beat.
            axes = tuple(range(2, images.ndim))
            mean = (images * scored).sum(axes, keepdim=True) / scored.sum(axes, keepdim=True).clamp(min=1)
            metrics = {
                "hidden_error": mean_per_patch(error, hidden).mean(),
                "hidden_error_chance": mean_per_patch((images - mean).square(), hidden).mean(),
            }
        return ObjectiveResult(loss, {"squared_error": loss}, metrics)
