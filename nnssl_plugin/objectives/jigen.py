from collections.abc import Mapping
from math import prod
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.permutations import max_hamming_permutations
from nnssl_plugin.objectives.tiles import cut_tiles, join_tiles, pool_to_tiles, reorder_tiles, tile_grid
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class JiGenSettings:
    """Settings of JiGen."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    permutations: Annotated[int, Field(ge=2, le=1000)] = 31
    """Classes, the ordered patch among them; 30 shuffled ones are the paper's."""


class JiGen(Objective):
    """JiGen's jigsaw: classify how the tiles of a patch were shuffled (Carlucci et al., CVPR 2019, arXiv 1903.06864).

    The paper: 3×3 tiles of an image are put back together shuffled, by one of 30 permutations chosen by their Hamming
    distance (Noroozi & Favaro, ECCV 2016, arXiv 1603.09246), and the whole is classified, the ordered image being a class of
    its own; there beside supervised classification, for domain generalisation. Ours: it stands alone; all modalities of a
    tile stay together, each in its own channel; 2×2×2 tiles in 3d; every class is drawn alike; the head (bottleneck → average
    pooling to a cell for each tile → MLP), which keeps places as the paper's AlexNet does and its ResNet does not.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    Settings = JiGenSettings
    citations = (
        "Carlucci et al. Domain Generalization by Solving Jigsaw Puzzles. CVPR 2019. arXiv:1903.06864",
        "Noroozi, Favaro. Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles. ECCV 2016. arXiv:1603.09246",
    )

    def __init__(self, settings: JiGenSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.grid = tile_grid(network.patch_size)
        self.permutations: Tensor
        permutations = max_hamming_permutations(prod(self.grid), settings.permutations)
        self.register_buffer("permutations", permutations, persistent=False)
        self.pool = pool_to_tiles(self.grid)
        features = network.encoder_features[-1]
        self.classifier = mlp(features * prod(self.grid), features, len(permutations))

    @classmethod
    def needs(cls, settings: JiGenSettings) -> Needs:
        """One view of the plans' own patches."""
        return Needs("plans", ("augmented",), views=1)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """Each patch shuffled by one of the permutations."""
        images = batch.images["augmented"]
        label = torch.randint(len(self.permutations), (len(images),), generator=generator, device=images.device)
        shuffled = reorder_tiles(cut_tiles(images, self.grid), self.permutations[label])
        return Views({"shuffled": join_tiles(shuffled, self.grid, batch.patch_size)}, {"label": label})

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Cross-entropy over the permutations; accuracy with chance."""
        logits = self.classifier(self.pool(features["shuffled"].encoder[-1]).flatten(1)).float()
        label = views.targets["label"]
        loss = F.cross_entropy(logits, label)
        metrics = {
            "accuracy": (logits.argmax(dim=1) == label).float().mean(),
            "accuracy_chance": loss.new_full((), 1 / len(self.permutations)),
        }
        return ObjectiveResult(loss, {"cross_entropy": loss}, metrics)
