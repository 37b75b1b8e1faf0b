"""Supervoxels of every case, computed once and cached beside the case index."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import prod
from pathlib import Path

import blosc2
import numpy as np
from nnunetv2.configuration import default_num_processes
from skimage.measure import block_reduce
from skimage.segmentation import slic
from torch import distributed as dist
from tqdm import tqdm

from nnssl_plugin.data.case_index import open_image
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.files import whole_file

# Name of the map among the files of a case.
SUPERVOXELS = "supervoxels"
# Part of what a cached map is checked by: count it up when what is computed changes.
VERSION = 1
# SLIC compares intensities between 0 and 1; smaller values follow them more, larger ones make cubes.
COMPACTNESS = 0.1
ITERATIONS = 5
# Share of the voxels at either end of a modality's intensities that must not stretch its scale.
TAIL = 0.005


def supervoxel_map(image: np.ndarray, edge: int, spacing: Sequence[float]) -> np.ndarray:
    """SLIC (Achanta et al., TPAMI 2012, of scikit-image) on the modalities of a case together, at half resolution.

    Args:
        image: `[C, *S]`, the modalities that are there, three axes of space.
        edge: supervoxels are on average as large as a cube, superpixels as a square, of this edge in voxels.
        spacing: of the voxels; of two axes for superpixels of each slice.

    Returns:
        `[*M]`, numbers from 0 on, in each slice anew for superpixels. Axes of M are half of S, but for slices that are kept
        apart and axes with a spacing twice that of the finest one.
    """
    fine = [2 if step < 2 * min(spacing) else 1 for step in spacing]
    factor = [1] * (image.ndim - 1 - len(fine)) + fine
    low, high = (np.quantile(image, share, axis=(1, 2, 3), keepdims=True) for share in (TAIL, 1 - TAIL))
    scaled = (np.clip(image, low, high) - low) / np.maximum(high - low, 1e-6)
    stack = block_reduce(scaled, (1, *factor), np.mean).astype(np.float32)
    cells = [stack] if len(spacing) == 3 else np.moveaxis(stack, 1, 0)
    maps = [
        slic(
            cell,
            n_segments=max(1, round(prod(cell.shape[1:]) * prod(fine) / edge ** len(fine))),
            compactness=COMPACTNESS,
            max_num_iter=ITERATIONS,
            spacing=tuple(step * times for step, times in zip(spacing, fine, strict=True)),
            convert2lab=False,
            start_label=0,
            channel_axis=0,
        )
        for cell in cells
    ]
    return (maps[0] if len(spacing) == 3 else np.stack(maps)).astype(np.int32)


def with_supervoxels(
    records: Sequence[CaseRecord], edge: int, spacing: Sequence[float], rank: int = 0, world: int = 1
) -> list[CaseRecord]:
    """The records, each with the file of its supervoxels, from the cache where images have not changed.

    Args:
        records: of cases.
        edge: see `supervoxel_map`.
        spacing: that of the configuration.
        rank: of this process, which computes its share.
        world: number of processes.
    """
    found = [_with_file(record, edge) for record in records]
    stale = [record for record in found[rank::world] if not _is_fresh(record, spacing)]
    if stale:
        with ThreadPoolExecutor(default_num_processes) as pool:
            jobs = pool.map(lambda record: _write(record, edge, spacing), stale)
            list(tqdm(jobs, "Computing supervoxels", len(stale)))
    if world > 1:
        dist.barrier()
    return found


def look_up(record: CaseRecord, shape: Sequence[int], places: np.ndarray) -> np.ndarray:
    """Numbers of the supervoxels at places in the image.

    Args:
        record: as `with_supervoxels` made it.
        shape: of the image, `*S`.
        places: `[3, *P]`, in voxels, not whole ones: the nearest counts, and the edge for places outside.

    Returns:
        `[*P]`.
    """
    stored = open_image(record.files[SUPERVOXELS])
    last = np.reshape(shape, (-1, *[1] * (places.ndim - 1))) - 1
    factor = [-(-size // cells) for size, cells in zip(shape, stored.shape, strict=True)]
    cells = np.clip(np.rint(places).astype(np.int64), 0, last) // np.reshape(factor, last.shape)
    axes = tuple(range(1, places.ndim))
    low, high = cells.min(axis=axes), cells.max(axis=axes) + 1
    part = stored[tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))]
    numbers: np.ndarray = part[tuple(cells - low.reshape(last.shape))]
    return numbers


def _with_file(record: CaseRecord, edge: int) -> CaseRecord:
    images = record.file.parent
    file = images.parent / "nnssl_plugin_cache" / images.name / f"supervoxels_{edge}" / f"{record.case}.b2nd"
    return replace(record, files={**record.files, SUPERVOXELS: file})


def _state(record: CaseRecord, spacing: Sequence[float]) -> list[float]:
    stat = record.file.stat()
    return [VERSION, stat.st_size, stat.st_mtime_ns, *map(float, spacing)]


def _is_fresh(record: CaseRecord, spacing: Sequence[float]) -> bool:
    file: Path = record.files[SUPERVOXELS]
    if not file.is_file():
        return False
    stored = open_image(file)
    return bool(stored.schunk.vlmeta["made_of"] == _state(record, spacing))


def _write(record: CaseRecord, edge: int, spacing: Sequence[float]) -> None:
    numbers = supervoxel_map(open_image(record.file)[:][record.present], edge, spacing)
    file: Path = record.files[SUPERVOXELS]
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as unfinished:
        stored = blosc2.asarray(numbers, urlpath=str(unfinished), mode="w")
        stored.schunk.vlmeta["made_of"] = _state(record, spacing)
