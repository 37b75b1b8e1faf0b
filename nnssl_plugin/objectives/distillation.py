from collections.abc import Mapping
from copy import deepcopy
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.errors import InputError
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.correspondence import places_in, sample
from nnssl_plugin.objectives.hidden_cubes import hidden_cubes
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.weighted_mean import mean_per_patch
from nnssl_plugin.settings.validation import STRICT

CROPS = ("first", "second")
TEACHER = "teacher: "


@dataclass(frozen=True, config=STRICT)
class DistillationSettings:
    """Settings of dense self-distillation; every one is ours."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    cube_size: Annotated[int, Field(ge=1)] = 16
    """Edge of the cubes in which the student's modalities are shown or hidden, in voxels."""
    shown: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Probability that a modality is shown in a cube."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Of the teacher's weights at the start; it rises to 1 over the run."""
    depth: Annotated[int, Field(ge=0)] = 1
    """Decoder stage that is compared, counted from full resolution (0) downwards."""
    embedding_size: Annotated[int, Field(ge=2)] = 64
    """Length of the vectors that are compared."""
    locations: Annotated[int, Field(ge=1)] = 512
    """Places compared in each patch, at most."""


class DenseDistillation(Objective):
    """Dense self-distillation: predict an EMA teacher's features of the same places from a partial view of them.

    Kin: BYOL (Grill et al., NeurIPS 2020, arXiv 2006.07733: EMA teacher, predictor, cosine, rising momentum); Vox-MMSD's
    siamese block-wise modality masking with dense distillation beside restoration. Ours: two overlapping crops of a case,
    augmented apart; the student sees each with modalities hidden in cubes, the teacher sees it whole; features of one
    decoder stage at foreground places that both crops show → projection → predictor (student only) → cosine to the
    teacher's projection of the same place in the other crop. What keeps it from collapsing is the predictor; `spread` shows
    whether it does (1: vectors fill their space, 0: they are all the same).

    Shape: two views `[B, C, *P]` for the student and two for the teacher, of a batch of B patches.
    """

    Settings = DistillationSettings
    citations = (
        "Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, NeurIPS 2020, arXiv 2006.07733",
    )

    def __init__(self, settings: DistillationSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.check_settings(settings, len(network.modalities), len(network.encoder_features))
        self.stage = -1 - settings.depth
        width, size = network.decoder_features[self.stage], settings.embedding_size
        self.projection = mlp(width, 2 * size, size)
        self.predictor = mlp(size, 2 * size, size)
        self.teacher_projection = deepcopy(self.projection).requires_grad_(False)

    @classmethod
    def needs(cls, settings: DistillationSettings) -> Needs:
        """Two overlapping crops of the plans' patch size, each encoded by the student and by the teacher."""
        stages = (-1 - settings.depth,)
        return Needs("plans", ("augmented",), views=2, teacher_views=2, decoder_stages=stages, second_crop=True)

    @classmethod
    def check_settings(cls, settings: DistillationSettings, modalities: int, stages: int) -> None:
        """Refuse a decoder stage that the network does not have."""
        if settings.depth > stages - 2:
            raise InputError(
                f"pretraining.objectives.distillation.depth {settings.depth}: 0 to {stages - 2} is expected, the network has "
                f"{stages - 1} decoder stages"
            )

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """Both crops, partly hidden for the student and whole for the teacher; the places that are compared."""
        student: dict[str, Tensor] = {}
        teacher: dict[str, Tensor] = {}
        targets: dict[str, Tensor] = {}
        crops = _crops(batch)
        for name, crop in crops.items():
            images = crop.images["augmented"]
            visible = hidden_cubes(images.shape, self.settings.cube_size, self.settings.shown, generator, images.device)
            student[name], teacher[TEACHER + name] = images * visible, images
        for name, other in zip(CROPS, reversed(CROPS), strict=True):
            here, there, valid = self._places(crops[name], crops[other], generator)
            targets |= {f"{name} here": here, f"{name} there": there, f"{name} valid": valid}
        return Views(student, targets, teacher)

    def _places(
        self, crop: PretrainingBatch, other: PretrainingBatch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Foreground places `[B, L, A]` of a crop, the same in the other one, and which `[B, L]` both show."""
        if crop.coordinates is None or other.coordinates is None:
            raise ValueError("distillation needs the coordinates of both crops")
        foreground = crop.foreground.flatten(1)
        order = torch.rand(foreground.shape, generator=generator, device=foreground.device)
        chosen = (order + foreground).topk(min(self.settings.locations, foreground.shape[1]), dim=1).indices
        index = chosen[:, None].expand(-1, crop.coordinates.shape[1], -1)
        positions = crop.coordinates.flatten(2).gather(2, index).transpose(1, 2)
        there = places_in(other.coordinates, positions)
        both = sample(other.foreground.float(), there, "nearest")[..., 0] > 0.5
        here = places_in(crop.coordinates, positions)
        return here, there, foreground.gather(1, chosen) & both & (there.abs() <= 1).all(dim=2)

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """1 − cosine to the teacher, the mean over places, patches and both directions; the spread of the teacher's vectors."""
        losses, spreads, targets = [], [], views.targets
        for name, other in zip(CROPS, reversed(CROPS), strict=True):
            valid = targets[f"{name} valid"]
            own = sample(features[name].decoder[self.stage], targets[f"{name} here"])
            taught = sample(features[TEACHER + other].decoder[self.stage], targets[f"{name} there"])
            with torch.autocast(valid.device.type, enabled=False):
                predicted = F.normalize(self.predictor(self.projection(own.float())), dim=2)
                with torch.no_grad():
                    wanted = F.normalize(self.teacher_projection(taught.float()), dim=2)
                distance = 1 - (predicted * wanted).sum(dim=2)
            losses.append(mean_per_patch(distance, valid.float()).mean())
            spreads.append(_spread(wanted, valid))
        loss = torch.stack(losses).mean()
        return ObjectiveResult(loss, {"distance": loss}, {"spread": torch.stack(spreads).mean()})

    def after_step(self, network: nn.Module, teacher: nn.Module | None, progress: float) -> None:
        """Let the teacher follow the network, ever more slowly (BYOL, section 3.2)."""
        momentum = 1 - (1 - self.settings.momentum) * (1 - progress)
        if teacher is not None:
            _follow(teacher, network, momentum)
        _follow(self.teacher_projection, self.projection, momentum)


def _crops(batch: PretrainingBatch) -> dict[str, PretrainingBatch]:
    if batch.second is None:
        raise ValueError("distillation needs a second crop")
    return dict(zip(CROPS, (batch, batch.second), strict=True))


def _follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    average = get_ema_multi_avg_fn(momentum)
    average(list(teacher.parameters()), list(student.parameters()), 0)


def _spread(vectors: Tensor, valid: Tensor) -> Tensor:
    """Mean distance of unit vectors `[B, L, D]` from their mean direction: 1 − |mean|², over the valid `[B, L]`."""
    weights = valid.to(vectors.dtype)[..., None]
    mean = (vectors * weights).sum(dim=(0, 1)) / weights.sum().clamp(min=1)
    return 1 - mean.square().sum()
