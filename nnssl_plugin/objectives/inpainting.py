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
    """Restore a patch of which a part is hidden; methods differ in what they hide and in whether what is shown counts.

    The input is the augmented patch, where hidden 0, the mean of a z-scored image; the target is the clean one. Squared error
    on the foreground of the modalities a case has. The output layer takes the place of the segmentation layers and is not
    handed over.

    Attributes:
        shown_weight: weight of shown voxels in the loss; hidden ones have 1.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    shown_weight: float = 0.0

    def __init__(self, settings: Any, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.modalities = network.modalities
        convolution = CONVOLUTIONS[len(network.patch_size)]
        self.output = convolution(network.decoder_features[-1], len(network.modalities), 1)

    @classmethod
    def needs(cls, settings: Any) -> Needs:
        """One view of the plans' own patches through encoder and decoder; one modality is restored from its surroundings."""
        return Needs("plans", ("augmented", "clean"), views=1, decoder_stages=(-1,))

    @abstractmethod
    def visible(self, batch: PretrainingBatch, generator: torch.Generator) -> Tensor:
        """`[B, C, *P]`, bool: what is shown."""

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """The patch with what is not visible at 0."""
        visible = self.visible(batch, generator)
        return Views({"partial": batch.images["augmented"] * visible}, {"visible": visible})

    def restored(self, features: Mapping[str, Features]) -> Tensor:
        """`[B, C, *P]`."""
        restored: Tensor = self.output(features["partial"].decoder[-1])
        return restored

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Weighted squared error, each patch counting the same; that of hidden voxels, with that of predicting the mean."""
        images = batch.images["clean"]
        scored = batch.foreground & batch.present.view(*batch.present.shape, *[1] * (images.ndim - 2))
        visible = views.targets["visible"]
        error = (self.restored(features).float() - images).square()
        loss = mean_per_patch(error, torch.where(visible, self.shown_weight, 1.0) * scored).mean()
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
