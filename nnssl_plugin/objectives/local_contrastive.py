from collections.abc import Mapping
from dataclasses import field
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.errors import InputError
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.gather import gather_rows
from nnssl_plugin.objectives.local_info_nce import LocalInfoNCE
from nnssl_plugin.objectives.modality_pair import Pairs, draw_modality_pair
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.pair_weights import PairReducer, WeightedPairs, Weighting, weight_metrics
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class LocalContrastiveSettings:
    """Settings of local contrast; every one is ours."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    temperature: Annotated[float, Field(gt=0)] = 0.2
    """Divides the cosine similarities."""
    embedding_size: Annotated[int, Field(ge=2)] = 64
    """Length of the vectors that are compared."""
    depths: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=2)] = field(
        default_factory=lambda: [1, 2]
    )
    """One or two encoder stages, counted from the bottleneck (0) upwards."""
    locations: Annotated[int, Field(ge=2)] = 128
    """Places compared in each patch and stage, at most."""
    negatives: Annotated[int, Field(ge=1)] = 1024
    """Places of all patches together that each place is compared with beside its own patch's, at most."""
    pairs: Pairs = "cross"
    """Two modalities (`cross`), or one modality twice (`same`), which one-modality data sets can have."""
    weighting: Weighting = "mean"
    """Of the pairs: all alike (`mean`), or learned on cases held out (`meta`, docs/meta-weights.md)."""


class LocalContrast(Objective):
    """Local cross-modal contrast: the same place in two modalities is a positive (ours, methods.md 3).

    The views are those of `CrossModalContrast`. At up to `locations` foreground places of each patch, features of an
    encoder stage → two-layer MLP → unit vector. Negatives are every other place of the patch and, gathered over
    processes, places of other patients, of each patch as many and together up to `negatives`; places of another patch of
    the same patient are neither, as patches may overlap.
    The mean over the stages in `depths`.

    Attributes:
        reducers: make the loss of the pairs' losses, one for each stage.

    Shape: two views `[B, C, *P]` of a batch of B patches.
    """

    Settings = LocalContrastiveSettings
    citations = (
        "van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018, arXiv 1807.03748",
    )

    def __init__(self, settings: LocalContrastiveSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.check_settings(settings, len(network.modalities), len(network.encoder_features))
        self.stages = self.needs(settings).encoder_stages
        widths = [network.encoder_features[stage] for stage in self.stages]
        self.projections = nn.ModuleList(mlp(width, width, settings.embedding_size) for width in widths)
        self.loss = LocalInfoNCE(settings.temperature, settings.negatives)
        self.reducers = nn.ModuleList(PairReducer(width, settings.weighting) for width in widths)

    @classmethod
    def needs(cls, settings: LocalContrastiveSettings) -> Needs:
        """As `CrossModalContrast`, of other encoder stages."""
        return Needs(
            "patients",
            ("augmented", "denormalized"),
            views=2,
            encoder_stages=tuple(-1 - depth for depth in settings.depths),
            modalities=2 if settings.pairs == "cross" else 1,
            patients=1,
        )

    @classmethod
    def check_settings(cls, settings: LocalContrastiveSettings, modalities: int, stages: int) -> None:
        """Refuse encoder stages that the network does not have."""
        if max(settings.depths) >= stages or len(set(settings.depths)) < len(settings.depths):
            raise InputError(
                f"pretraining.objectives.local_contrastive.depths {settings.depths}: different ones from 0 (bottleneck) to "
                f"{stages - 1} are expected, the network has {stages} encoder stages"
            )

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """A source and a target view of each patch, and the order in which its places are taken."""
        views = draw_modality_pair(batch, self.settings.pairs, generator)
        # One number per voxel of the patch; a stage's places are ranked by the number at their corner.
        shape = batch.foreground.shape
        views.targets["order"] = torch.rand(shape, generator=generator, device=batch.foreground.device)
        return views

    def places(self, shape: tuple[int, ...], views: Views, batch: PretrainingBatch) -> tuple[Tensor, Tensor]:
        """Flat indices `[B, L]` into the places of a stage of this `shape`, and which of them are foreground."""
        share = F.interpolate(batch.foreground.float(), size=shape, mode="area").flatten(1)
        order = F.interpolate(views.targets["order"], size=shape, mode="nearest").flatten(1)
        inside = (share >= 0.5) & views.targets["valid"][:, None]
        count = min(self.settings.locations, share.shape[1])
        chosen = (order + inside).topk(count, dim=1).indices
        return chosen, inside.gather(1, chosen)

    def embed(self, stage: Tensor, which: int, places: Tensor | None = None) -> Tensor:
        """Unit vectors `[B, L, D]` of the places, by default all, of one view's `[B, F, *S]` from `self.stages[which]`."""
        with torch.autocast(stage.device.type, enabled=False):
            return F.normalize(self.projections[which](self.representations(stage, places)), dim=2)

    def representations(self, stage: Tensor, places: Tensor | None = None) -> Tensor:
        """`[B, L, F]`, float32: the features at the places."""
        flat = stage.flatten(2)
        if places is not None:
            flat = flat.gather(2, places[:, None].expand(-1, stage.shape[1], -1))
        return flat.transpose(1, 2).float()

    def representations_of_all(self, stages: list[Tensor], places: Tensor) -> Tensor:
        """`[N, F]` of both views and of all processes, detached."""
        return torch.cat([gather_rows(self.representations(stage, places).detach()) for stage in stages]).flatten(0, 1)

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """InfoNCE over places; how often a place finds itself in the other view, with chance."""
        losses, hits, chances = [], [], []
        weighted: list[WeightedPairs] = []
        patient = gather_rows(batch.patient)
        for which, number in enumerate(self.stages):
            stages = [features[name].encoder[number] for name in ("source", "target")]
            places, inside = self.places(tuple(stages[0].shape[2:]), views, batch)
            first, second = (gather_rows(self.embed(stage, which, places)) for stage in stages)
            valid = gather_rows(inside)
            similarity = self.loss.similarity(first, second, patient, valid)
            representations = partial(self.representations_of_all, stages, places)
            loss, pairs = self.reducers[which](self.loss(similarity, valid), representations)
            losses.append(loss)
            weighted += pairs
            with torch.no_grad():
                forwards = similarity[0]
                found = forwards.argmax(dim=2) == torch.arange(valid.shape[1], device=valid.device)
                counted = valid.float()
                hits.append((found * counted).sum() / counted.sum())
                chances.append((counted / (forwards > -torch.inf).sum(dim=2)).sum() / counted.sum())
        loss = torch.stack(losses).mean()
        metrics = {"retrieval": torch.stack(hits).mean(), "retrieval_chance": torch.stack(chances).mean()}
        return ObjectiveResult(loss, {"info_nce": loss}, metrics | weight_metrics(weighted), weighted)
