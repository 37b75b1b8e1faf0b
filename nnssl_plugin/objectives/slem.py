from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from nnssl_plugin.data.batch import Image, PretrainingBatch
from nnssl_plugin.data.mosaic_axes import mosaic_axes
from nnssl_plugin.networks.contextual_fusion import ContextualFusionBlock
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.draw import draw_one
from nnssl_plugin.objectives.label_space import BLOCKS, is_injective, label_space, possible_labels
from nnssl_plugin.objectives.mosaic import block_map, compose_mosaic
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class SLeMSettings:
    """Settings of SLeM; every one is ours."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss; 0 switches an objective off."""
    label_space: Literal["auto", "injective", "product", "max_hamming"] = "auto"
    """`injective` (each block from another modality, as far as a case has them), `product` (repetition allowed),
    `max_hamming` (those of the product that differ most), `auto`: by the number of modalities."""
    label_count: Annotated[int, Field(ge=2)] | None = None
    """Labels of `max_hamming`; by default the square of the number of modalities."""
    gap: Annotated[int, Field(ge=0, le=8)] = 2
    """Voxels left empty between blocks, against recognising the seam."""
    intensity: Annotated[float, Field(ge=0, le=2)] = 0.1
    """Strength of the random gain exp(±x) and offset ±x of each block, against recognising a modality by its
    histogram."""
    denormalization_probability: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of blocks taken from the denormalised image, for the same reason."""


class SLeM(Objective):
    """SLeM: classify from which modalities the blocks of a mosaic come (J. CAD & CG 2025, 37(3):474-483).

    The paper: images of the modalities are divided uniformly into four blocks, randomly combined, and the
    combinations classified. Ours: blocks keep their position; the label spaces; the head (bottleneck → CFB → 2×2
    average pooling in the plane of the mosaic, because the label encodes position → a two-layer MLP, shared by the
    blocks, scores each block's modality; a label's logit is the sum of its blocks' scores → cross-entropy over the
    labels); the defences against shortcuts. One MLP with K free logits stayed at chance where this one learns: it has to
    find the same cue once for every block and label (docs/slem.md). The one-channel mosaic is expanded over the C input
    channels, so that the network is the one of the plans.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    Settings = SLeMSettings
    citations = (
        "SLeM. Journal of Computer-Aided Design & Computer Graphics, 2025, 37(3): 474-483. doi:10.3724/SP.J.1089.2023-00339",
    )

    def __init__(self, settings: SLeMSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.modalities = network.modalities
        self.labels: Tensor
        labels = label_space(settings.label_space, len(network.modalities), settings.label_count)
        self.register_buffer("labels", labels, persistent=False)
        self.injective = is_injective(settings.label_space, len(network.modalities))
        self.fusion = ContextualFusionBlock(network.encoder_features[-1], network.plans_bottleneck)
        axes = mosaic_axes(network.patch_size)
        grid = [2 if axis in axes else 1 for axis in range(len(network.patch_size))]
        self.pool = nn.AdaptiveAvgPool2d((2, 2)) if len(grid) == 2 else nn.AdaptiveAvgPool3d(tuple(grid))
        self.classifier = mlp(network.encoder_features[-1], network.encoder_features[-1], len(network.modalities))

    @classmethod
    def needs(cls, settings: SLeMSettings) -> Needs:
        """One view of small patches of many patients."""
        denormalized: tuple[Image, ...] = ("denormalized",) if settings.denormalization_probability > 0 else ()
        return Needs("patients", ("augmented", *denormalized), views=1, modalities=2)

    @classmethod
    def check_settings(cls, settings: SLeMSettings, modalities: int, stages: int) -> None:
        """Check that there is such a label space; raises `InputError` as `label_space` does."""
        label_space(settings.label_space, modalities, settings.label_count)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """One mosaic of each patch, drawn among the labels whose modalities the case has."""
        possible = possible_labels(self.labels, batch.present, self.injective)
        choices = possible.sum(dim=1)
        # A case with one label at most has nothing to classify. It still gets a view, without weight, so that shapes stay the
        # same.
        valid = choices > 1
        possible |= ~valid[:, None]
        label = draw_one(possible.float(), generator)
        mosaic = self._mosaic(batch, self.labels[label], generator)
        return Views({"mosaic": mosaic}, {"label": label, "valid": valid, "possible": possible})

    def _mosaic(self, batch: PretrainingBatch, assignment: Tensor, generator: torch.Generator) -> Tensor:
        images = batch.images["augmented"]
        batch_size, channels, *patch = images.shape
        device = images.device
        # The background differs between modalities after z-scoring: one common value instead.
        background = ~batch.foreground
        axes = list(range(1, images.ndim))
        common = (images * background).sum(dim=axes) / (background.sum(dim=axes).clamp(min=1) * channels)
        blocks = block_map(patch, self.settings.gap, device)
        mosaic = compose_mosaic(images, assignment, blocks)
        if self.settings.denormalization_probability > 0:
            use = torch.rand(batch_size, BLOCKS, generator=generator, device=device)
            other = compose_mosaic(batch.images["denormalized"], assignment, blocks)
            mosaic = torch.where(
                self._per_voxel(use, blocks) < self.settings.denormalization_probability, other, mosaic
            )
        draws = (
            torch.rand(2, batch_size, BLOCKS, generator=generator, device=device) * 2 - 1
        ) * self.settings.intensity
        mosaic = mosaic * self._per_voxel(draws[0].exp(), blocks) + self._per_voxel(draws[1], blocks)
        outside = background | (blocks == BLOCKS)
        mosaic = torch.where(outside, common.view(-1, *[1] * (mosaic.ndim - 1)), mosaic)
        return mosaic.expand(-1, channels, *patch)

    @staticmethod
    def _per_voxel(values: Tensor, blocks: Tensor) -> Tensor:
        """`[B, 4]` values of the blocks → `[B, 1, *P]`; zero in the gap."""
        return F.pad(values, (0, 1))[:, blocks.flatten()].view(values.shape[0], 1, *blocks.shape)

    def logits(self, features: Mapping[str, Features], views: Views) -> Tensor:
        """`[B, K]`, −inf for a label that the case cannot show."""
        cells = self.pool(self.fusion(features["mosaic"].encoder[-1])).flatten(2).transpose(1, 2)
        scores = self.classifier(cells).float()
        # [B, 4, C] scores of each block's modality, looked up and summed for each label: [B, K].
        logits = scores[:, torch.arange(BLOCKS, device=scores.device), self.labels].sum(dim=2)
        return logits.masked_fill(~views.targets["possible"], -torch.inf)

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Cross-entropy over the label space; accuracy, of whole mosaics and of blocks, with chance."""
        logits = self.logits(features, views)
        label, valid = views.targets["label"], views.targets["valid"].float()
        # Over all patches, as other processes divide by the same number; a case without a label adds nothing.
        loss = (F.cross_entropy(logits, label, reduction="none") * valid).mean()
        guess = logits.argmax(dim=1)
        blocks = (self.labels[guess] == self.labels[label]).float().mean(dim=1)
        # Chance is that of somebody who knows which modalities a case has: fewer of them leave fewer labels.
        measures = {
            "accuracy": (guess == label).float(),
            "accuracy_chance": 1 / views.targets["possible"].sum(dim=1),
            "block_accuracy": blocks,
            "block_accuracy_chance": self._block_chance(views.targets["possible"]),
        }
        metrics = {name: (values * valid).sum() / valid.sum() for name, values in measures.items()}
        return ObjectiveResult(loss, {"cross_entropy": loss}, metrics)

    def _block_chance(self, possible: Tensor) -> Tensor:
        """`[B]`: how many blocks two of the labels that a case can show have in common, on average."""
        modalities = torch.arange(len(self.modalities), device=possible.device)
        modality = (self.labels[..., None] == modalities).float().flatten(1)
        frequency = possible.float() @ modality / possible.sum(dim=1, keepdim=True)
        return frequency.square().sum(dim=1) / BLOCKS
