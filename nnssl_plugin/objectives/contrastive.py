from typing import Annotated

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.gather import gather_rows
from nnssl_plugin.objectives.info_nce import PatientInfoNCE
from nnssl_plugin.objectives.modality_pair import Pairs, draw_modality_pair
from nnssl_plugin.objectives.objective import (
    Features,
    NetworkShape,
    Objective,
    ObjectiveResult,
    PretrainingBatch,
    Views,
)
from nnssl_plugin.objectives.representation import alignment, retrieval_top1, uniformity
from nnssl_plugin.settings.validation import STRICT

METRICS = ("retrieval", "retrieval_chance", "alignment", "uniformity")


@dataclass(frozen=True, config=STRICT)
class ContrastiveSettings:
    """Settings of cross-modal contrast; every one is ours.

    `temperature`: divides the cosine similarities. `embedding_size`: length of the vectors that are compared.
    `pairs`: `cross`: two modalities; `same`: one modality twice, which one-modality data sets can have.
    """

    weight: Annotated[float, Field(ge=0)] = 0.1
    temperature: Annotated[float, Field(gt=0)] = 0.2
    embedding_size: Annotated[int, Field(ge=2)] = 64
    pairs: Pairs = "cross"


class CrossModalContrast(Objective):
    """Cross-modal contrast with DAD (J. Biomed. Eng. 2023, 40(3):482-491, PMC10307600).

    The paper: images of different modalities of one patient are positives; the source modality is denormalised with
    the statistics of the target's. Ours: the views of `draw_modality_pair`; bottleneck → average pool → MLP → unit
    vector; InfoNCE over patients, gathered over processes. A case with one modality only has no pair and is left out;
    with C = 2 there is one pair, drawn in either direction.

    Shape: two views `[2B, C, *P]` of a batch `[B, C, *P]`, all sources first.
    """

    Settings = ContrastiveSettings
    fewest_patients = 2
    views_per_patch = 2
    citations = ("Journal of Biomedical Engineering, 2023, 40(3): 482-491. PMC10307600",)

    def __init__(self, settings: ContrastiveSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.projection = mlp(network.bottleneck_features, network.bottleneck_features, settings.embedding_size)
        self.loss = PatientInfoNCE(settings.temperature)

    @classmethod
    def fewest_modalities(cls, settings: ContrastiveSettings) -> int:
        """Two, or one where both views show the same."""
        return 2 if settings.pairs == "cross" else 1

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """A source and a target view of each patch."""
        return draw_modality_pair(batch, self.settings.pairs, generator)

    def _embed(self, features: Features) -> tuple[Tensor, Tensor]:
        bottleneck = features.stages[-1]
        pooled = bottleneck.mean(dim=tuple(range(2, bottleneck.ndim)))
        with torch.autocast(bottleneck.device.type, enabled=False):
            first, second = F.normalize(self.projection(pooled.float()), dim=1).chunk(2)
        return first, second

    def forward(self, features: Features, views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """InfoNCE; alignment, uniformity and cross-modal retrieval beside chance."""
        first, second = self._embed(features)
        first, second = gather_rows(first), gather_rows(second)
        patient, valid = gather_rows(batch.patient), gather_rows(views.targets["valid"])
        first, second, patient = first[valid], second[valid], patient[valid]
        if len(patient) == 0:
            nothing = (features.stages[-1].sum() + sum(p.sum() for p in self.projection.parameters())) * 0
            unknown = nothing.detach() * torch.nan
            return ObjectiveResult(nothing, {"info_nce": nothing}, dict.fromkeys(METRICS, unknown))
        embeddings = torch.cat([first, second])
        loss = self.loss(embeddings, patient.repeat(2))
        with torch.no_grad(), torch.autocast(embeddings.device.type, enabled=False):
            hit, chance = retrieval_top1(first, second, patient, patient)
            values = (hit, chance, alignment(first, second), uniformity(embeddings, patient.repeat(2)))
            metrics = dict(zip(METRICS, values, strict=True))
        return ObjectiveResult(loss, {"info_nce": loss}, metrics)

    def picture(self, features: Features, views: Views, batch: PretrainingBatch) -> Figure:
        """Cosine similarity of every source view with every target view; patients on the diagonal."""
        first, second = self._embed(features)
        figure = Figure(figsize=(5, 4), layout="constrained")
        axis = figure.subplots()
        image = axis.imshow((first @ second.T).detach().float().cpu().numpy(), cmap="viridis")
        figure.colorbar(image, label="cosine similarity")
        axis.set_xlabel("patch, target modality")
        axis.set_ylabel("patch, denormalised source modality")
        return figure
