"""Where a classifier looked: attention of the tiles, and Grad-CAM (Selvaraju et al., ICCV 2017, arXiv 1610.02391)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from nnssl_plugin.classification.network import ClassificationNetwork
from nnssl_plugin.classification.predict_case import CasePrediction
from nnssl_plugin.classification.tiles import read_tiles


def attention_map(prediction: CasePrediction, shape: Sequence[int], patch_size: Sequence[int]) -> npt.NDArray:
    """Attention of the tile that shows a voxel, mean where tiles overlap; 1 is what every tile would have if all had the same.

    Args:
        prediction: of the case.
        shape: of the preprocessed image, three axes.
        patch_size: of the network.

    Returns:
        `[*S]`, float32; 0 where no tile was looked at.
    """
    weights = (prediction.weights * len(prediction.weights)).numpy()
    size = [1, *patch_size] if len(patch_size) == 2 else [*patch_size]
    return _placed([np.full(size, weight, np.float32) for weight in weights], prediction.starts, shape)


def grad_cam(
    network: ClassificationNetwork,
    image: npt.NDArray,
    prediction: CasePrediction,
    column: int,
    index: int,
    patch_size: Sequence[int],
    device: torch.device,
) -> npt.NDArray:
    """Grad-CAM of a class over the whole case.

    The tile vectors are means over space, so the gradient of the class's logit by a feature map is that by its mean: it is
    taken once for all tiles, through the pooling over them. Maps of the pooled stages are added [ours].

    Args:
        network: in evaluation mode.
        image: `[C, *S]`, preprocessed.
        prediction: of the case by this network.
        column: position of the column.
        index: of the class.
        patch_size: of the network.
        device: of the network.

    Returns:
        `[*S]`, float32, from 0; mean where tiles overlap.
    """
    starts = prediction.starts
    with torch.no_grad():
        features = torch.cat(
            [network.tile_features(tiles.to(device)) for tiles in read_tiles(image, starts, patch_size)]
        )
    features.requires_grad_(True)
    logits, _ = network.classify(features[None])
    (gradient,) = torch.autograd.grad(logits[column][0, index], features)
    maps: list[npt.NDArray] = []
    for tiles in read_tiles(image, starts, patch_size):
        own = gradient[len(maps) : len(maps) + len(tiles)]
        with torch.no_grad():
            maps += list(_of_tiles(network, tiles.to(device), own).cpu().numpy())
    if len(patch_size) == 2:
        maps = [one[None] for one in maps]
    return _placed(maps, starts, image.shape[1:])


def _of_tiles(network: ClassificationNetwork, tiles: Tensor, gradient: Tensor) -> Tensor:
    """`[N, *P]`, of tiles `[N, C, *P]` and the gradient by their vectors `[N, F]`."""
    spatial = tiles.shape[2:]
    total = tiles.new_zeros(len(tiles), 1, *spatial)
    stages = network.feature_maps(tiles)
    for maps, own in zip(stages, gradient.split([one.shape[1] for one in stages], dim=1), strict=True):
        cam = torch.einsum("nc...,nc->n...", maps, own)[:, None]
        total += F.interpolate(cam, spatial, mode="bilinear" if len(spatial) == 2 else "trilinear")
    return total.relu()[:, 0]


def _placed(tiles: Sequence[npt.NDArray], starts: npt.NDArray[np.int64], shape: Sequence[int]) -> npt.NDArray:
    """Tiles where they are in the image, averaged where they overlap."""
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for tile, start in zip(tiles, starts, strict=True):
        low = np.maximum(start, 0)
        high = np.minimum(start + tile.shape, shape)
        image = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        inside = tuple(slice(a - s, b - s) for a, b, s in zip(low, high, start, strict=True))
        total[image] += tile[inside]
        count[image] += 1
    return total / np.maximum(count, 1)
