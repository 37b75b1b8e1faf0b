"""The interface between a pretext objective and whoever trains with it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.pair_weights import WeightedPairs


@dataclass
class Views:
    """What an objective wants encoded.

    Attributes:
        images: name → `[N, C, *V]`, for the network; views may be of several sizes.
        targets: what the objective needs to score the features, first axis N or B.
        for_teacher: name → `[N, C, *V]`, for the teacher; the names are none of those in `images`.
    """

    images: dict[str, Tensor]
    targets: dict[str, Tensor] = field(default_factory=dict)
    for_teacher: dict[str, Tensor] = field(default_factory=dict)


@dataclass
class Features:
    """What the network made of one view.

    Attributes:
        encoder: output `[N, F_s, *V_s]` of every encoder stage, the bottleneck (fused, where the network fuses it) last.
        decoder: output of each of `Needs.decoder_stages`, by the number it has there.
    """

    encoder: Sequence[Tensor]
    decoder: Mapping[int, Tensor] = field(default_factory=dict)


@dataclass
class ObjectiveResult:
    """Loss to minimise, its named parts and what else is worth a curve, all scalars; the pairs whose weights are learned."""

    loss: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    metrics: dict[str, Tensor] = field(default_factory=dict)
    weighted_pairs: Sequence[WeightedPairs] = ()


@dataclass(frozen=True)
class NetworkShape:
    """What a head must know of the network it hangs on.

    Attributes:
        modalities: channel names, in order; C of them.
        patch_size: spatial shape `*P` of the objective's patches.
        plans_bottleneck: spatial shape of the bottleneck for the plans' own patch size.
        encoder_features: channels of every encoder stage, the bottleneck last.
    """

    modalities: tuple[str, ...]
    patch_size: tuple[int, ...]
    plans_bottleneck: tuple[int, ...]
    encoder_features: tuple[int, ...]

    @property
    def decoder_features(self) -> tuple[int, ...]:
        """Channels of every decoder stage, the last at full resolution."""
        return self.encoder_features[-2::-1]


class Objective(nn.Module, ABC):
    """A pretext task: what it needs, the views it draws from a batch, its head, the loss of the views' features.

    Drawing is apart from scoring, so that either can be repeated or replaced alone. The head is the module itself.

    Attributes:
        Settings: pydantic dataclass of its settings; `weight` (of its loss in the total, 0 switches it off) is one.
        settings: those of the run.
        citations: the papers behind it, for the checkpoints.
    """

    Settings: ClassVar[type]
    citations: ClassVar[tuple[str, ...]] = ()
    settings: Any

    @classmethod
    @abstractmethod
    def needs(cls, settings: Any) -> Needs:
        """What it asks for under these settings."""

    @classmethod
    def check_settings(cls, settings: Any, modalities: int, stages: int) -> None:
        """Check settings against the numbers of modalities and encoder stages; raises `InputError`. By default all are possible."""

    def prepare(self, records: Sequence[CaseRecord], say: Callable[[str], None]) -> None:
        """Called before training with the cases of the run; `say` prints a line. By default nothing happens.

        Raises:
            InputError: the cases have not what it needs.
        """

    @abstractmethod
    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """Draw the views of a batch; all randomness comes from `generator`, which lives on the batch's device."""

    @abstractmethod
    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Score the features of the views, by the names the views have."""

    def after_step(self, network: nn.Module, teacher: nn.Module | None, progress: float) -> None:
        """Called after every step that may have changed the weights; `progress` goes from 0 to 1 over the run.

        The place to let the teacher follow. By default nothing happens.
        """
