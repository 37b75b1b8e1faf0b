"""Frozen features of the probed cases: what a network, or the image alone, says of a case and of single voxels."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from nnssl_plugin.data.case_index import open_image
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.probing.tiles import nearest_tile, padded, tile_corners

# Voxels of the patches that go through the network at once.
VOXELS_AT_ONCE = 2**17


@dataclass(frozen=True)
class ProbeFeatures:
    """Features of cases, in their order.

    `pooled`: `[N, F]`, of whole cases. `voxels`: `[V, F']` of each case's sampled voxels.
    """

    pooled: npt.NDArray
    voxels: list[npt.NDArray]


def network_features(
    network: nn.Module,
    records: Sequence[CaseRecord],
    voxels: Sequence[npt.NDArray],
    patch_size: Sequence[int],
    device: torch.device,
    title: str,
) -> ProbeFeatures:
    """Features of the encoder's stages, bottleneck included, one case in memory at a time.

    Pooled: the mean over space of every stage, averaged over the tiles of the case that hold foreground. Of a voxel: every
    stage, interpolated linearly to the voxel's place (hypercolumns, Hariharan et al. 2015), within the tile that holds it
    farthest from its border.

    Args:
        network: of the plans; left in evaluation mode.
        records: the cases.
        voxels: `[V, 3]` of each case, of its preprocessed image.
        patch_size: of the plans, two or three axes.
        device: that the network is on.
        title: of the progress bar.
    """
    network.eval()
    patch = (1,) * (3 - len(patch_size)) + tuple(patch_size)
    found = [
        _of_case(network, record, places, patch, len(patch_size), device)
        for record, places in zip(tqdm(records, title), voxels, strict=True)
    ]
    return ProbeFeatures(np.stack([pooled for pooled, _ in found]), [dense for _, dense in found])


def intensity_features(records: Sequence[CaseRecord], voxels: Sequence[npt.NDArray]) -> ProbeFeatures:
    """What needs no network: mean and deviation of each modality's foreground, and each voxel's intensities."""
    pooled = np.stack([np.concatenate([record.mean, record.std]) for record in records])
    images = (open_image(record.file)[:] for record in records)
    return ProbeFeatures(pooled, [_window(image, places.T).T for image, places in zip(images, voxels, strict=True)])


@torch.no_grad()
def _of_case(
    network: nn.Module, record: CaseRecord, voxels: npt.NDArray, patch: Sequence[int], axes: int, device: torch.device
) -> tuple[npt.NDArray, npt.NDArray]:
    image = padded(open_image(record.file)[:], patch)
    corners = tile_corners(image.shape[1:], patch, np.concatenate([record.read_locations(), voxels]))
    owner = nearest_tile(voxels, corners, patch)
    at_once = max(1, VOXELS_AT_ONCE // prod(patch))
    pooled: list[Tensor] = []
    # Half precision: the voxels of all cases are kept.
    dense: npt.NDArray = np.zeros((len(voxels), 0), np.float16)
    for first in range(0, len(corners), at_once):
        batch = corners[first : first + at_once]
        tiles = [_window(image, map(slice, corner, corner + np.asarray(patch))) for corner in batch]
        images = torch.from_numpy(np.stack(tiles)).float().reshape(len(batch), len(image), *patch[3 - axes :])
        stages = encoder_features(network, images.to(device))
        pooled.append(torch.cat([stage.flatten(2).mean(dim=2) for stage in stages], dim=1).cpu())
        for number, corner in enumerate(batch, start=first):
            mine = np.flatnonzero(owner == number)
            if len(mine):
                places = torch.from_numpy((voxels[mine] - corner)[:, 3 - axes :])
                values = _at([stage[number - first] for stage in stages], places, patch[3 - axes :])
                if not dense.shape[1]:
                    dense = np.zeros((len(voxels), values.shape[1]), np.float16)
                dense[mine] = values.numpy()
    return torch.cat(pooled).mean(dim=0).numpy(), dense


def _window(image: npt.NDArray, index: Iterable[Any]) -> npt.NDArray:
    """What an index of the spatial axes picks from every channel."""
    whole = (slice(None), *index)
    picked: npt.NDArray = image[whole]
    return picked


def _at(stages: Sequence[Tensor], places: Tensor, patch: Sequence[int]) -> Tensor:
    """`[V, sum of F]`: stages `[F, *s]` of a patch, upsampled linearly, at the voxels `places` `[V, A]`."""
    # Normalised to −1 … 1 from border to border, the last axis first, as grid_sample wants it.
    grid = ((2 * places.float() + 1) / torch.tensor(patch) - 1).flip(1).to(stages[0])
    grid = grid.reshape(*[1] * len(patch), *grid.shape)
    sampled = [F.grid_sample(stage[None], grid, padding_mode="border", align_corners=False) for stage in stages]
    return torch.cat([values.flatten(2)[0].T for values in sampled], dim=1).cpu()
