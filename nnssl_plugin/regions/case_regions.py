"""The selected regions of a whole case, and where they lie in its image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.region_encoder import selected
from nnssl_plugin.objectives.region_interaction import Parts
from nnssl_plugin.zero_shot.image_report_model import ImageReportModel, Tiles


@dataclass
class CaseRegions:
    """The selected regions of a preprocessed image.

    Attributes:
        parts: of one image with R regions.
        boxes: `[R, 3, 2]`, first voxel and the one behind the last, along each axis; parts may lie outside of the image.
        preference: `[*S]`, probability of a position over what it were if none was preferred; the mean where tiles overlap.
    """

    parts: Parts
    boxes: npt.NDArray[np.int64]
    preference: npt.NDArray[np.float32]


def regions_of(model: ImageReportModel, image: npt.NDArray, channels: Sequence[int] | None = None) -> CaseRegions:
    """The regions that a model selects in a preprocessed image `[C, *S]`.

    Args:
        model: of stage two.
        image: of the case.
        channels: as `ImageReportModel.tiles`.

    Raises:
        InputError: the model selects no regions.
    """
    wholes, vectors, boxes, every, preferences = [], [], [], [], []
    for tiles in model.tiles(image, channels):
        if tiles.selection is None:
            raise InputError(
                "this checkpoint is of stage one, which selects no regions: pre-train with --preset regions, from this checkpoint"
            )
        index = selected(tiles.selection, tiles.parts.vectors.shape[1])
        real = tiles.selection.chosen.gather(1, index)
        found = boxes_of(tiles, model.tile_size)
        wholes.append(tiles.parts.whole)
        vectors.append(tiles.parts.vectors[real])
        boxes.append(np.take_along_axis(found, index.cpu().numpy()[..., None, None], axis=1)[real.cpu().numpy()])
        every.append(found.reshape(-1, 3, 2))
        probability = tiles.selection.probability
        preferences.append((probability * (probability > 0).sum(dim=1, keepdim=True)).flatten().cpu().numpy())
    whole, joined = torch.cat(wholes), torch.cat(vectors)
    parts = Parts(whole, joined[None], torch.ones_like(joined[None, :, 0]))
    parts.whole = torch.nn.functional.normalize(whole.mean(dim=0, keepdim=True), dim=1)
    preference = painted(np.concatenate(preferences), np.concatenate(every), image.shape[1:])
    return CaseRegions(parts, np.concatenate(boxes), preference)


def boxes_of(tiles: Tiles, patch_size: Sequence[int]) -> npt.NDArray[np.int64]:
    """`[N, T, 3, 2]`, the voxels that each position of each tile stands for."""
    patch = [1] * (3 - len(patch_size)) + [*patch_size]
    size = [1] * (3 - len(tiles.size)) + [*tiles.size]
    edges = [np.arange(count + 1) * length // count for count, length in zip(size, patch, strict=True)]
    ranges = [np.stack([edge[:-1], edge[1:]], axis=1) for edge in edges]
    index = np.stack(np.meshgrid(*(np.arange(count) for count in size), indexing="ij"), axis=-1).reshape(-1, 3)
    inside = np.stack([own[index[:, axis]] for axis, own in enumerate(ranges)], axis=1)
    return np.asarray(tiles.starts[:, None, :, None] + inside[None])


def painted(values: npt.NDArray, boxes: npt.NDArray[np.int64], shape: Sequence[int]) -> npt.NDArray[np.float32]:
    """`[*S]`, the value of the box that a voxel is in; the mean of several, 0 in none.

    Shape: `[R]`, `[R, 3, 2]`.
    """
    total, count = np.zeros(tuple(shape), np.float32), np.zeros(tuple(shape), np.float32)
    for value, box in zip(values, boxes, strict=True):
        where = tuple(slice(max(first, 0), max(behind, 0)) for first, behind in box)
        total[where] += value
        count[where] += 1
    return np.asarray(total / np.maximum(count, 1))
