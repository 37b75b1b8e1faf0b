from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nnssl_plugin.classification.network import ClassificationNetwork
from nnssl_plugin.classification.tiles import read_tiles, tile_starts


@dataclass
class CasePrediction:
    """What the network makes of a whole case.

    Attributes:
        logits: `[K]` of each column.
        starts: `[T, 3]`, first voxels of its tiles.
        weights: `[T]`, attention of the tiles; they sum to 1.
    """

    logits: list[Tensor]
    starts: npt.NDArray[np.int64]
    weights: Tensor


@torch.no_grad()
def predict_case(
    network: ClassificationNetwork, image: npt.NDArray, patch_size: Sequence[int], device: torch.device
) -> CasePrediction:
    """Classify a preprocessed case `[C, *S]` by all tiles that show the patient; the network is in evaluation mode."""
    starts = tile_starts(image, patch_size)
    features = [network.tile_features(tiles.to(device)) for tiles in read_tiles(image, starts, patch_size)]
    logits, weights = network.classify(torch.cat(features)[None])
    return CasePrediction([one[0].float().cpu() for one in logits], starts, weights[0].float().cpu())
