from collections.abc import Mapping
from math import prod
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.draw import draw_one
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.objective import Features, NetworkShape, Objective, ObjectiveResult, Views
from nnssl_plugin.objectives.sinkhorn import sinkhorn
from nnssl_plugin.objectives.tiles import cut_tiles, join_tiles, pool_to_tiles, reorder_tiles, tile_grid
from nnssl_plugin.settings.validation import STRICT


@dataclass(frozen=True, config=STRICT)
class PuzzleSettings:
    """Settings of multimodal puzzles."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""


class MultimodalPuzzle(Objective):
    """Multimodal puzzles: put shuffled tiles of mixed modalities in order (Taleb et al., arXiv 1912.05396).

    The paper: each tile of an image comes from a random modality, the tiles are shuffled, and the network infers the
    permutation matrix through the Sinkhorn operator; the loss is the squared error of the tiles that the inferred matrix
    puts in order, Sᵀ·P, against those in order, P*. There each tile is encoded by itself. Ours: the shuffled patch is encoded
    as a whole, so that the network is used as in fine-tuning; 3×3 tiles in 2d, 2×2×2 in 3d; the head (bottleneck → average
    pooling to a cell for each tile → an MLP, shared by the tiles, scores each one's place); modalities are drawn among those
    that the case has; the one-channel puzzle is expanded over the C input channels; no synthetic images. With one modality it
    is a plain puzzle.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    Settings = PuzzleSettings
    citations = (
        "Taleb et al. Multimodal Self-Supervised Learning for Medical Image Analysis. IPMI 2021. arXiv:1912.05396",
    )

    def __init__(self, settings: PuzzleSettings, network: NetworkShape) -> None:
        super().__init__()
        self.settings = settings
        self.grid = tile_grid(network.patch_size)
        self.pool = pool_to_tiles(self.grid)
        features = network.encoder_features[-1]
        # A bias would move all tiles alike, which the Sinkhorn operator takes back.
        self.place = mlp(features, features, prod(self.grid), bias=False)

    @classmethod
    def needs(cls, settings: PuzzleSettings) -> Needs:
        """One view of the plans' own patches."""
        return Needs("plans", ("augmented",), views=1)

    def draw_views(self, batch: PretrainingBatch, generator: torch.Generator) -> Views:
        """Each patch with a modality drawn for each tile, shuffled."""
        tiles = cut_tiles(batch.images["augmented"], self.grid)
        size, count = tiles.shape[:2]
        # One draw for each tile: [B · T].
        modality = draw_one(batch.present.float().repeat_interleave(count, dim=0), generator)
        flat = tiles.flatten(0, 1)
        ordered = flat[torch.arange(len(flat), device=flat.device), modality].unflatten(0, (size, count))
        place = torch.rand(size, count, generator=generator, device=tiles.device).argsort(dim=1)
        puzzle = join_tiles(reorder_tiles(ordered, place)[:, :, None], self.grid, batch.patch_size)
        view = puzzle.expand(-1, batch.present.shape[1], *batch.patch_size)
        return Views({"puzzle": view}, {"ordered": ordered, "place": place})

    def assignment(self, features: Mapping[str, Features]) -> Tensor:
        """`[B, T, T]`, how much of each tile of the puzzle (row) goes to each place (column)."""
        cells = self.pool(features["puzzle"].encoder[-1]).flatten(2).transpose(1, 2)
        return sinkhorn(self.place(cells))

    def forward(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> ObjectiveResult:
        """Squared error of the tiles put in order beside that of their mean everywhere; share of tiles placed with chance."""
        assignment = self.assignment(features)
        ordered, place = views.targets["ordered"].flatten(2).float(), views.targets["place"]
        with torch.autocast(assignment.device.type, enabled=False):
            restored = assignment.transpose(1, 2) @ reorder_tiles(ordered, place)
        loss = (restored - ordered).square().mean()
        metrics = {
            "error_chance": (ordered - ordered.mean(dim=1, keepdim=True)).square().mean(),
            "placed": (assignment.argmax(dim=2) == place).float().mean(),
            "placed_chance": loss.new_full((), 1 / place.shape[1]),
        }
        return ObjectiveResult(loss, {"error": loss}, metrics)
