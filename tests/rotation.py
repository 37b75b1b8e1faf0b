"""A new objective is one file like this one, and a line in `nnssl_plugin/objectives/registry.py`.

Loader, network, budget, checkpoints and curves need no change: `needs` tells them what to bring.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class RotationSettings:
    """Settings of rotation: `pretraining.objectives.rotation.weight`, off by default."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""


class Rotation(Objective):
    """Say by how many quarter turns a patch was rotated (Gidaris et al., ICLR 2018, arXiv 1803.07728).

    Shape: one view `[B, C, *P]` of a batch of B patches, turned in the plane of its last two axes.
    """

    Settings = RotationSettings
    citations = ("Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018",)

    def __init__(self, settings: RotationSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        # Only a square stays what it is under one quarter turn.
        self.turns = 4 if network.patch_size[-1] == network.patch_size[-2] else 2
        self.classifier = nn.Linear(network.encoder_features[-1], self.turns)

    @classmethod
    def needs(cls, settings: RotationSettings) -> Needs:
        """One view of small patches of many patients; of the network's features the bottleneck."""
        return Needs("patients", ("augmented",), views=1)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """Each patch, turned by a number of quarter turns that is drawn for it."""
        images = batch.images["augmented"]
        turned = torch.stack([images.rot90(4 // self.turns * turn, (-2, -1)) for turn in range(self.turns)])
        turn = torch.randint(self.turns, (len(images),), generator=generator, device=images.device)
        return Views({"turned": turned[turn, torch.arange(len(images), device=images.device)]}, {"turn": turn})

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Cross-entropy; accuracy with chance, which the curves then show."""
        pooled = features["turned"].encoder[-1].flatten(2).mean(dim=2)
        logits, turn = self.classifier(pooled).float(), views.targets["turn"]
        loss = F.cross_entropy(logits, turn)
        accuracy = (logits.argmax(dim=1) == turn).float().mean()
        chance = torch.full_like(accuracy, 1 / self.turns)
        return ObjectiveResult(loss, {"cross_entropy": loss}, {"accuracy": accuracy, "accuracy_chance": chance})
