from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.info_nce import PatientInfoNCE
from nnssl_plugin.objectives.modality_pair import Pairs, draw_modality_pair
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.pair_weights import PairReducer, Weighting
from nnssl_plugin.objectives.patient_contrast import contrast_patients, embed_patches
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class ContrastiveSettings:
    """Settings of cross-modal contrast; every one is ours."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    temperature: Annotated[float, Field(gt=0)] = 0.2
    """Divides the cosine similarities."""
    embedding_size: Annotated[int, Field(ge=2)] = 64
    """Length of the vectors that are compared."""
    pairs: Pairs = "cross"
    """Two modalities (`cross`), or one modality twice (`same`), which one-modality data sets can have."""
    weighting: Weighting = "mean"
    """Of the pairs: all alike (`mean`), or learned on cases held out (`meta`, docs/meta-weights.md)."""


class CrossModalContrast(Objective):
    """Cross-modal contrast with DAD (J. Biomed. Eng. 2023, 40(3):482-491, PMC10307600).

    The paper: images of different modalities of one patient are positives; the source modality is denormalised with
    the statistics of the target's. Ours: the views of `draw_modality_pair`; bottleneck → average pool → MLP → unit
    vector; InfoNCE over patients, gathered over processes. A case with one modality only has no pair and does not count;
    with C = 2 there is one pair, drawn in either direction.

    Attributes:
        reducer: makes the loss of the pairs' losses.

    Shape: two views `[B, C, *P]` of a batch of B patches.
    """

    Settings = ContrastiveSettings
    citations = ("Journal of Biomedical Engineering, 2023, 40(3): 482-491. PMC10307600",)

    def __init__(self, settings: ContrastiveSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        features = network.encoder_features[-1]
        self.projection = mlp(features, features, settings.embedding_size)
        self.loss = PatientInfoNCE(settings.temperature)
        self.reducer = PairReducer(features, settings.weighting)

    @classmethod
    def needs(cls, settings: ContrastiveSettings) -> Needs:
        """Two views of small patches of many patients; two modalities, or one where both views show the same."""
        modalities = 2 if settings.pairs == "cross" else 1
        return Needs("patients", ("augmented", "denormalized"), views=2, modalities=modalities, patients=2)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """A source and a target view of each patch."""
        return draw_modality_pair(batch, self.settings.pairs, generator)

    def embed(self, features: Features) -> Tensor:
        """`[B, D]`, unit vectors of one view."""
        return embed_patches(self.projection, features)

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """InfoNCE; alignment, uniformity and cross-modal retrieval with chance."""
        first, second = (features[name] for name in ("source", "target"))
        return contrast_patients(
            (first, second), batch.patient, views.targets["valid"], self.projection, self.loss, self.reducer
        )
