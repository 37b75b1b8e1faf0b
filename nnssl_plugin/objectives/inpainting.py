from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.contextual_fusion import CONVOLUTIONS
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.weighted_mean import mean_per_patch


class Inpainting(Objective):
    """Restore what of a patch is hidden in all modalities at once; what is hidden is what tells methods apart.

    The input is the augmented patch, where hidden 0, the mean of a z-scored image; the target is the clean one. Squared error
    of the hidden foreground of the modalities a case has. The output layer takes the place of the segmentation layers and is
    not handed over.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    def __init__(self, settings: Any, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.modalities = network.modalities
        convolution = CONVOLUTIONS[len(network.patch_size)]
        self.output = convolution(network.decoder_features[-1], len(network.modalities), 1)

    @classmethod
    def needs(cls, settings: Any) -> Needs:
        """One view of the plans' own patches through encoder and decoder."""
        return Needs("plans", ("augmented", "clean"), views=1, decoder_stages=(-1,))

    @abstractmethod
    def visible(self, batch: PretrainingBatch, generator: torch.Generator) -> Tensor:
        """`[B, C, *P]`, bool: what is shown."""

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """The patch with a part of it hidden."""
        visible = self.visible(batch, generator)
        return Views({"partial": batch.images["augmented"] * visible}, {"visible": visible})

    def restored(self, features: Mapping[str, Features]) -> Tensor:
        """`[B, C, *P]`."""
        restored: Tensor = self.output(features["partial"].decoder[-1])
        return restored

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Squared error, each patch counting the same, beside that of predicting the mean."""
        images = batch.images["clean"]
        scored = batch.foreground & batch.present.view(*batch.present.shape, *[1] * (images.ndim - 2))
        hidden = (scored & ~views.targets["visible"]).float()
        loss = mean_per_patch((self.restored(features).float() - images).square(), hidden).mean()
        axes = tuple(range(2, images.ndim))
        mean = (images * scored).sum(axes, keepdim=True) / scored.sum(axes, keepdim=True).clamp(min=1)
        chance = mean_per_patch((images - mean).square(), hidden).mean()
        return ObjectiveResult(loss, {"hidden_error": loss}, {"hidden_error_chance": chance})
