from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.frames import FrameKind, FrameRequest, Unit, check_frames
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.info_nce import PatientInfoNCE
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.pair_weights import PairReducer, Weighting
from nnssl_plugin.objectives.patient_contrast import contrast_patients, embed_patches
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class FrameContrastSettings:
    """Settings of frame contrast; temperature and size are the paper's."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    frames: FrameKind = "slices"
    """What is mixed: `slices` or `modalities`."""
    distance: Annotated[float, Field(gt=0)] = 3.0
    """From a slice to the next, at most."""
    unit: Unit = "frames"
    """Of the distance: `frames` or `seconds`."""
    temperature: Annotated[float, Field(gt=0)] = 0.5
    """Divides the cosine similarities."""
    embedding_size: Annotated[int, Field(ge=2)] = 128
    """Length of the vectors that are compared."""
    weighting: Weighting = "mean"
    """Of the pairs: all alike (`mean`), or learned on cases held out (`meta`, docs/meta-weights.md)."""


class FrameContrast(Objective):
    """Contrast of mixed frames: the positive pairs of Meta-USCL (IEEE TMI 2022, arXiv 2212.04097).

    The paper's code: of three frames f₁, f₂, f₃ of a clip, x₁ = (1 − α) f₁ + α f₂ and x₂ = β f₂ + (1 − β) f₃ are a positive pair, with
    α, β ~ Beta(3, 5); augmentation follows; two frames are not mixed, one is augmented twice; NT-Xent, cosine, τ 0.5. Ours: nnU-Net's
    augmentation of the pair's patches at one place; neighbouring slices of any volume, or three modalities in random order, may be
    the frames; clips of one patient or group are never negatives.

    Shape: two views `[B, C, *P]` of a batch of B patches.
    """

    Settings = FrameContrastSettings
    citations = (
        "Chen et al. Generating and Weighting Semantically Consistent Sample Pairs for Ultrasound Contrastive Learning. "
        "IEEE TMI 2022. arXiv:2212.04097",
    )

    def __init__(self, settings: FrameContrastSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        features = network.encoder_features[-1]
        self.projection = mlp(features, features, settings.embedding_size)
        self.loss = PatientInfoNCE(settings.temperature)
        self.reducer = PairReducer(features, settings.weighting)

    @classmethod
    def needs(cls, settings: FrameContrastSettings) -> Needs:
        """Two mixtures around small patches of many patients."""
        request = FrameRequest(settings.frames, settings.distance, settings.unit)
        return Needs("patients", (), views=2, frames=request, patients=2)

    def prepare(self, records: Sequence[CaseRecord], say: Callable[[str], None]) -> None:
        """Refuse distances in seconds where a case does not say how long a frame lasts."""
        check_frames(FrameRequest(self.settings.frames, self.settings.distance, self.settings.unit), records)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """Both mixtures, a one-channel one in every channel."""
        if batch.frame_pair is None:
            raise ValueError("frame contrast needs mixed frames")
        first, second = batch.frame_pair.expand(-1, -1, batch.present.shape[1], *batch.patch_size).unbind(dim=1)
        return Views({"first": first, "second": second})

    def embed(self, features: Features) -> Tensor:
        """`[B, D]`, unit vectors of one view."""
        return embed_patches(self.projection, features)

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """NT-Xent; alignment, uniformity and retrieval of the other mixture with chance."""
        both = (features["first"], features["second"])
        valid = torch.ones_like(batch.patient, dtype=torch.bool)
        return contrast_patients(both, batch.patient, valid, self.projection, self.loss, self.reducer)
