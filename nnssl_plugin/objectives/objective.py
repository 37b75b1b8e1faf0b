"""The interface between a pretext objective and whoever trains with it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn


@dataclass
class PretrainingBatch:
    """Patches of one step, B patches of C modalities; `*P` has two or three axes.

    Attributes:
        data: `[B, C, *P]`, augmented; a missing modality is constant.
        denormalized: `[B, C, *P]`, each channel with the intensity statistics of another modality (DAD).
        denormalized_target: `[B, C]`, index of that modality; the channel itself where a case has no other one.
        foreground: `[B, 1, *P]`, bool, from the image before augmentation.
        present: `[B, C]`, bool, which modalities the case has.
        patient: `[B]`, index of the patient, the same in every process.
        cases: names of the cases.
    """

    data: Tensor
    denormalized: Tensor
    denormalized_target: Tensor
    foreground: Tensor
    present: Tensor
    patient: Tensor
    cases: list[str] = field(default_factory=list)

    @classmethod
    def from_loader(cls, batch: Mapping[str, Any], device: torch.device) -> "PretrainingBatch":
        """Batch of the loader, moved to `device`."""
        tensors = {key: value.to(device, non_blocking=True) for key, value in batch.items() if key != "keys"}
        return cls(**tensors, cases=list(batch["keys"]))


@dataclass
class Views:
    """What an objective wants encoded.

    Attributes:
        images: `[N, C, *P]`.
        targets: what the objective needs to score the features, first axis N or B.
    """

    images: Tensor
    targets: dict[str, Tensor]


@dataclass
class Features:
    """What the network made of an objective's views.

    Attributes:
        stages: encoder output `[N, F_s, *P_s]` of every stage, the bottleneck (fused, where the network fuses it) last.
        decoded: `[N, F_0, *P]`, decoder output before the segmentation layer, for objectives that need it.
    """

    stages: Sequence[Tensor]
    decoded: Tensor | None = None


@dataclass
class ObjectiveResult:
    """Loss to minimise, its named parts and what else is worth a curve; all scalars."""

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class NetworkShape:
    """What a head must know of the network it hangs on.

    Attributes:
        modalities: channel names, in order; C of them.
        patch_size: spatial shape `*P` of the views.
        plans_bottleneck: spatial shape of the bottleneck for the plans' own patch size.
        stage_features: channels of every encoder stage, the bottleneck last.
        decoder_features: channels of the decoder's last stage.
    """

    modalities: tuple[str, ...]
    patch_size: tuple[int, ...]
    plans_bottleneck: tuple[int, ...]
    stage_features: tuple[int, ...]
    decoder_features: int

    @property
    def bottleneck_features(self) -> int:
        """Channels of the bottleneck."""
        return self.stage_features[-1]


class Objective(nn.Module, ABC):
    """A pretext task: the views it draws from a batch, the head it needs, the loss of the views' features.

    Drawing is apart from scoring, so that either can be repeated or replaced alone. The head is the module itself.

    Attributes:
        Settings: pydantic dataclass of its settings; `weight` (of its loss in the total, 0 switches it off) is one.
        fewest_patients: patients it takes to learn anything.
        views_per_patch: views it draws from each patch, for the voxel budget.
        needs_decoder: whether it wants `Features.decoded`.
        citations: the papers behind it, for the checkpoints.
    """

    Settings: ClassVar[type]
    fewest_patients: ClassVar[int] = 1
    views_per_patch: ClassVar[int]
    needs_decoder: ClassVar[bool] = False
    citations: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def fewest_modalities(cls, settings: Any) -> int:
        """Fewest channels it works with under these settings."""
        return 2

    @classmethod
    def check_settings(cls, settings: Any, modalities: int, stages: int) -> None:
        """Check settings against the numbers of modalities and encoder stages; raises `InputError`. By default all are possible."""

    @property
    def deepest_stage(self) -> int:
        """The deepest encoder stage its loss reaches, counted from the bottleneck (0) upwards."""
        return 0

    @abstractmethod
    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """Draw the views of a batch; all randomness comes from `generator`, which lives on the batch's device."""

    @abstractmethod
    def forward(self, features: Features, views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Score the features of the views."""

    def evidence(self, features: Features, views: Views, batch: PretrainingBatch) -> dict[str, Tensor]:
        """What `summary` needs of a batch, first axis B; nothing by default."""
        return {}

    def summary(self, evidence: Mapping[str, Tensor]) -> dict[str, float]:
        """Measures that take many batches at once, from the joined `evidence`; none by default."""
        return {}

    @abstractmethod
    def picture(self, features: Features, views: Views, batch: PretrainingBatch) -> Figure:
        """What a person would look at to see whether the objective is learned."""
