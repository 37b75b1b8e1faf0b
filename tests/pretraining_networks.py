"""Networks of tiny plans, with objectives beside them, that learn nothing of use."""

from collections.abc import Mapping
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from tests.batches import NAMES
from tests.synthetic import architecture


def stock_network(axes: int = 2, residual: bool = False, stages: int = 3, plan: dict[str, Any] | None = None) -> Any:
    """nnU-Net's network of four modalities and two classes, without deep supervision."""
    torch.manual_seed(0)
    plan = architecture(axes, residual, stages) if plan is None else plan
    return get_network_from_plans(
        plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 4, 2, deep_supervision=False
    )


def with_objectives(network: Any, axes: int = 2, **settings: dict[str, object]) -> PretrainingNetwork:
    """`network` with registered objectives, by default all of them; name → their settings."""
    shape = NetworkShape(
        NAMES,
        (32,) * axes if axes == 2 else (16,) * axes,
        (8 if axes == 2 else 4,) * axes,
        tuple(network.encoder.output_channels),
    )
    sections = {
        name: OBJECTIVES[name].Settings(**{"weight": 1.0, **own})
        for name, own in (settings or {name: {} for name in OBJECTIVES}).items()
    }
    objectives = {name: OBJECTIVES[name](section, shape) for name, section in sections.items()}
    return PretrainingNetwork(
        network, objectives, {name: OBJECTIVES[name].needs(own) for name, own in sections.items()}
    )


class Toy(Objective):
    """Makes every stage that it needs small, of a view of the patch and one of half of it; both can go to a teacher."""

    def __init__(self, needs: Needs, weight: float = 1.0) -> None:
        super().__init__()
        self.settings = type("Settings", (), {"weight": weight})
        self.own_needs = needs
        self.gain = nn.Parameter(torch.ones(()))
        self.followed: list[float] = []

    @classmethod
    def needs(cls, settings: object) -> Needs:
        raise NotImplementedError

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        images = batch.images["augmented"]
        half = images[..., : batch.patch_size[-1] // 2]
        for_teacher = {"taught": images} if self.own_needs.teacher_views else {}
        return Views({"whole": images, "half": half}, {}, for_teacher)

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        stages: list[Tensor] = []
        for one in features.values():
            stages += [one.encoder[number] for number in self.own_needs.encoder_stages]
            stages += one.decoder.values()
        return ObjectiveResult(self.gain * torch.stack([stage.square().mean() for stage in stages]).sum())

    def after_step(self, network: nn.Module, teacher: nn.Module | None, progress: float) -> None:
        self.followed.append(progress)
        if teacher is not None:
            for own, other in zip(teacher.parameters(), network.parameters(), strict=True):
                own.lerp_(other, 0.5)


def with_toys(network: Any, **needs: Needs) -> PretrainingNetwork:
    """`network` with a `Toy` for each of the `needs`, by name."""
    return PretrainingNetwork(network, {name: Toy(need) for name, need in needs.items()}, needs)
