from dataclasses import field
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from nnssl_plugin.errors import InputError
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.gather import gather_rows
from nnssl_plugin.objectives.local_info_nce import LocalInfoNCE
from nnssl_plugin.objectives.modality_pair import Pairs, draw_modality_pair
from nnssl_plugin.objectives.objective import (
    Features,
    NetworkShape,
    Objective,
    ObjectiveResult,
    PretrainingBatch,
    Views,
)
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class LocalContrastiveSettings:
    """Settings of local contrast; every one is ours.

    `temperature`: divides the cosine similarities. `embedding_size`: length of the vectors that are compared.
    `depths`: encoder stages they are taken from, counted from the bottleneck (0) upwards.
    `locations`: compared in each patch and stage, at most.
    `pairs`: `cross`: two modalities; `same`: one modality twice, which one-modality data sets can have.
    """

    weight: Annotated[float, Field(ge=0)] = 0.0
    temperature: Annotated[float, Field(gt=0)] = 0.2
    embedding_size: Annotated[int, Field(ge=2)] = 64
    depths: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=2)] = field(
        default_factory=lambda: [1, 2]
    )
    locations: Annotated[int, Field(ge=2)] = 512
    pairs: Pairs = "cross"


class LocalContrast(Objective):
    """Local cross-modal contrast: the same place in two modalities is a positive (ours, methods.md 3).

    The views are those of `CrossModalContrast`. At up to `locations` foreground places of each patch, features of an
    encoder stage → two-layer MLP → unit vector. Every other place of the patch and every place of other patients is a
    negative, gathered over processes; places of another patch of the same patient are neither, as patches may overlap.
    The mean over the stages in `depths`.

    Shape: two views `[2B, C, *P]` of a batch `[B, C, *P]`, all sources first.
    """

    Settings = LocalContrastiveSettings
    views_per_patch = 2
    citations = (
        "van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, arXiv 1807.03748",
    )

    def __init__(self, settings: LocalContrastiveSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        stages = len(network.stage_features)
        self.check_settings(settings, len(network.modalities), stages)
        self.stages = [stages - 1 - depth for depth in settings.depths]
        self.projections = nn.ModuleList(
            mlp(width, width, settings.embedding_size) for width in (network.stage_features[s] for s in self.stages)
        )
        self.loss = LocalInfoNCE(settings.temperature)

    @classmethod
    def fewest_modalities(cls, settings: LocalContrastiveSettings) -> int:
        """Two, or one where both views show the same."""
        return 2 if settings.pairs == "cross" else 1

    @classmethod
    def check_settings(cls, settings: LocalContrastiveSettings, modalities: int, stages: int) -> None:
        """Refuse encoder stages that the network does not have."""
        if max(settings.depths) >= stages or len(set(settings.depths)) < len(settings.depths):
            raise InputError(
                f"pretraining.objectives.local_contrastive.depths {settings.depths}: different ones from 0 (bottleneck) to "
                f"{stages - 1} are expected, the network has {stages} encoder stages"
            )

    @property
    def deepest_stage(self) -> int:
        """The least of `depths`."""
        return min(self.settings.depths)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """A source and a target view of each patch, and the order in which its places are taken."""
        views = draw_modality_pair(batch, self.settings.pairs, generator)
        # One number per voxel of the patch; a stage's places are ranked by the number at their corner.
        shape = batch.foreground.shape
        views.targets["order"] = torch.rand(shape, generator=generator, device=batch.data.device)
        return views

    def _places(self, shape: tuple[int, ...], views: Views, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """Flat indices `[B, L]` into the places of a stage, and which of them are foreground."""
        share = F.interpolate(batch.foreground.float(), size=shape, mode="area").flatten(1)
        order = F.interpolate(views.targets["order"], size=shape, mode="nearest").flatten(1)
        inside = (share >= 0.5) & views.targets["valid"][:, None]
        count = min(self.settings.locations, share.shape[1])
        chosen = (order + inside).topk(count, dim=1).indices
        return chosen, inside.gather(1, chosen)

    def _embed(self, features: Features, views: Views, batch: PretrainingBatch, which: int) -> dict[str, Tensor]:
        """Embeddings `[B·L, D]` of both views at the places of one stage, gathered over processes."""
        stage = features.stages[self.stages[which]]
        places, valid = self._places(tuple(stage.shape[2:]), views, batch)
        index = places.repeat(2, 1)[:, None].expand(-1, stage.shape[1], -1)
        taken = stage.flatten(2).gather(2, index).transpose(1, 2)
        with torch.autocast(stage.device.type, enabled=False):
            first, second = F.normalize(self.projections[which](taken.float()), dim=2).chunk(2)
        patient = gather_rows(batch.patient)
        return {
            "first": gather_rows(first).flatten(0, 1),
            "second": gather_rows(second).flatten(0, 1),
            "patch": torch.arange(len(patient), device=stage.device).repeat_interleave(places.shape[1]),
            "patient": patient.repeat_interleave(places.shape[1]),
            "valid": gather_rows(valid).flatten(),
        }

    def forward(self, features: Features, views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """InfoNCE over places; how often a place finds itself in the other view, beside chance."""
        losses, hits, chances = [], [], []
        for which in range(len(self.stages)):
            embedded = self._embed(features, views, batch, which)
            losses.append(self.loss(**embedded))
            with torch.no_grad():
                similarity = self.loss.similarity(**embedded)
                found = similarity.argmax(dim=1) == torch.arange(len(similarity), device=similarity.device)
                candidates = similarity.isfinite().sum(dim=1)
                valid = embedded["valid"].float()
                hits.append((found * valid).sum() / valid.sum())
                chances.append((valid / candidates).sum() / valid.sum())
        loss = torch.stack(losses).mean()
        metrics = {"retrieval": torch.stack(hits).mean(), "retrieval_chance": torch.stack(chances).mean()}
        return ObjectiveResult(loss, {"info_nce": loss}, metrics)

    def picture(self, features: Features, views: Views, batch: PretrainingBatch) -> Figure:
        """Similarity of one place of the source view (crossed) with every place of the target view, by patch."""
        stage = features.stages[self.stages[0]]
        projected = self.projections[0](stage.flatten(2).transpose(1, 2).float())
        first, second = F.normalize(projected, dim=2).chunk(2)
        places, _ = self._places(tuple(stage.shape[2:]), views, batch)
        size = min(4, len(first))
        figure = Figure(figsize=(2.6 * size, 5.4), layout="constrained")
        axes = figure.subplots(2, size, squeeze=False)
        for i in range(size):
            place = int(places[i, 0])
            position = np.unravel_index(place, stage.shape[2:])
            similarity = (second[i] @ first[i, place]).view(stage.shape[2:]).float().cpu().numpy()
            scale = batch.data.shape[2] / stage.shape[2]
            source = views.images[i, 0].float().cpu().numpy()
            if source.ndim == 3:
                similarity, source = similarity[position[0]], source[int((position[0] + 0.5) * scale)]
            axes[0, i].imshow(source, cmap="gray")
            row, column = (
                (p + 0.5) * s / n for p, s, n in zip(position[-2:], source.shape, stage.shape[-2:], strict=True)
            )
            axes[0, i].plot(column, row, "+", color="red", markersize=12)
            axes[0, i].set_title("source and place", fontsize=8)
            axes[1, i].imshow(similarity, cmap="viridis", vmin=-1, vmax=1)
            axes[1, i].plot(position[-1], position[-2], "+", color="red", markersize=12)
            axes[1, i].set_title("similarity in target", fontsize=8)
            axes[0, i].axis("off")
            axes[1, i].axis("off")
        return figure
