from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.info_nce import PatientInfoNCE
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.pair_weights import PairReducer, Weighting
from nnssl_plugin.objectives.patient_contrast import contrast_patients, embed_patches
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class SimCLRSettings:
    """Settings of SimCLR; temperature and size are the paper's for small images."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    temperature: Annotated[float, Field(gt=0)] = 0.5
    """Divides the cosine similarities."""
    embedding_size: Annotated[int, Field(ge=2)] = 128
    """Length of the vectors that are compared."""
    weighting: Weighting = "mean"
    """Of the pairs: all alike (`mean`), or learned on cases held out (`meta`, docs/meta-weights.md)."""


class SimCLR(Objective):
    """SimCLR: two augmented crops of a case are a positive pair (Chen et al., ICML 2020, arXiv 2002.05709).

    The paper: random crops and colour changes; encoder → average pool → two-layer MLP; NT-Xent over the 2N views of a batch
    of thousands. Ours: the crops overlap and have nnU-Net's augmentation, all modalities in their own channels; the negatives
    are the crops of the other patients, so that two crops of a patient are never pushed apart; a step has few patients.

    Attributes:
        reducer: makes the loss of the pairs' losses.

    Shape: two views `[B, C, *P]` of a batch of B patches and their second crops.
    """

    Settings = SimCLRSettings
    citations = (
        "Chen et al. A Simple Framework for Contrastive Learning of Visual Representations. ICML 2020. arXiv:2002.05709",
    )

    def __init__(self, settings: SimCLRSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        features = network.encoder_features[-1]
        self.projection = mlp(features, features, settings.embedding_size)
        self.loss = PatientInfoNCE(settings.temperature)
        self.reducer = PairReducer(features, settings.weighting)

    @classmethod
    def needs(cls, settings: SimCLRSettings) -> Needs:
        """Two overlapping crops of small patches of many patients."""
        return Needs("patients", ("augmented",), views=2, second_crop=True, patients=2)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """Both crops as they are: the loader drew and augmented them apart."""
        if batch.second is None:
            raise ValueError("SimCLR needs second crops")
        return Views({"first": batch.images["augmented"], "second": batch.second.images["augmented"]})

    def embed(self, features: Features) -> Tensor:
        """`[B, D]`, unit vectors of one view."""
        return embed_patches(self.projection, features)

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """NT-Xent; alignment, uniformity and retrieval of the other crop with chance."""
        first, second = (features[name] for name in ("first", "second"))
        valid = torch.ones_like(batch.patient, dtype=torch.bool)
        return contrast_patients((first, second), batch.patient, valid, self.projection, self.loss, self.reducer)
