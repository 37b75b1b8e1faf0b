from typing import Annotated

import torch
from matplotlib.figure import Figure
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.networks.contextual_fusion import CONVOLUTIONS
from nnssl_plugin.objectives.mosaic import mosaic_axes
from nnssl_plugin.objectives.objective import (
    Features,
    NetworkShape,
    Objective,
    ObjectiveResult,
    PretrainingBatch,
    Views,
)
from nnssl_plugin.plots.slices import show_slices
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class RestorationSettings:
    """Settings of mosaic restoration; every one is ours.

    `cube_size`: edge in voxels of the cubes in which modalities are shown or hidden.
    `shown`: probability that a modality is shown in a cube; none may be left.
    `shown_weight`: weight of shown voxels in the loss; hidden ones have 1.
    """

    weight: Annotated[float, Field(ge=0)] = 1.0
    cube_size: Annotated[int, Field(ge=1)] = 8
    shown: Annotated[float, Field(ge=0, lt=1)] = 0.3
    shown_weight: Annotated[float, Field(ge=0, le=1)] = 0.1


class MosaicRestoration(Objective):
    """Mosaic restoration: restore all modalities of a patch from a partial view of them (ours, methods.md 5).

    The patch is cut into cubes; in each cube each modality is shown or hidden independently. What is shown stands in
    its own channel, so the stem learns what fine-tuning will feed it; what is hidden is 0, the mean of a z-scored
    image. L1 on the foreground of the modalities a case has. The output layer takes the place of the segmentation
    layers and is not handed over. Kin: MAE, MultiMAE, Vox-MMSD's block-wise modality masking.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    Settings = RestorationSettings
    views_per_patch = 1
    needs_decoder = True

    def __init__(self, settings: RestorationSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.modalities = network.modalities
        convolution = CONVOLUTIONS[len(network.patch_size)]
        self.output = convolution(network.decoder_features, len(network.modalities), 1)

    @classmethod
    def fewest_modalities(cls, settings: RestorationSettings) -> int:
        """One: its cubes are restored from their surroundings."""
        return 1

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """The patch with every modality hidden in part of the cubes."""
        batch_size, channels, *patch = batch.data.shape
        cubes = [-(-size // self.settings.cube_size) for size in patch]
        draw = torch.rand(batch_size, channels, *cubes, generator=generator, device=batch.data.device)
        visible = draw < self.settings.shown
        for axis in range(len(patch)):
            visible = visible.repeat_interleave(self.settings.cube_size, dim=axis + 2)
        for axis, size in enumerate(patch):
            visible = visible.narrow(axis + 2, 0, size)
        return Views(batch.data * visible, {"visible": visible})

    def forward(self, features: Features, views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Weighted L1, each patch counting the same; the error of hidden voxels beside that of predicting the mean."""
        present = batch.present.view(*batch.present.shape, *[1] * (batch.data.ndim - 2))
        scored = batch.foreground & present
        visible = views.targets["visible"]
        error = (self._restored(features).float() - batch.data).abs()
        weights = torch.where(visible, self.settings.shown_weight, 1.0) * scored
        loss = _mean_per_patch(error, weights).mean()
        with torch.no_grad():
            hidden = (scored & ~visible).float()
            # What predicting each patch's foreground mean would cost, the figure that "restored" has to beat.
            axes = tuple(range(2, batch.data.ndim))
            mean = (batch.data * scored).sum(axes, keepdim=True) / scored.sum(axes, keepdim=True).clamp(min=1)
            metrics = {
                "hidden_error": _mean_per_patch(error, hidden).mean(),
                "hidden_error_chance": _mean_per_patch((batch.data - mean).abs(), hidden).mean(),
            }
        return ObjectiveResult(loss, {"l1": loss}, metrics)

    def _restored(self, features: Features) -> Tensor:
        if features.decoded is None:
            raise ValueError("restoration needs the decoder's output")
        restored: Tensor = self.output(features.decoded)
        return restored

    def picture(self, features: Features, views: Views, batch: PretrainingBatch) -> Figure:
        """A modality a line, of two patches: what was shown, what was restored, what is true."""
        stacks = {"shown": views.images, "restored": self._restored(features), "true": batch.data}
        columns = [(what, stack[i]) for i in range(min(2, len(batch.data))) for what, stack in stacks.items()]
        rows = [torch.stack([images[c].float() for _, images in columns]) for c in range(len(self.modalities))]
        titles = [[f"{name}, {what}" for what, _ in columns] for name in self.modalities]
        return show_slices(rows, titles, plane=mosaic_axes(batch.data.shape[2:]))


def _mean_per_patch(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over all but the first axis; 0 where a patch has no weight."""
    axes = tuple(range(1, values.ndim))
    return (values * weights).sum(axes) / weights.sum(axes).clamp(min=1e-6)
