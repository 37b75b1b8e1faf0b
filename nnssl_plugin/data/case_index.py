"""What the loader must know of each case before it draws patches, gathered once from the images alone."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
from nnunetv2.configuration import default_num_processes
from torch import distributed as dist
from tqdm import tqdm

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.case_statistics import KEYS, read_statistics, write_statistics
from nnssl_plugin.data.foreground import constant_background, foreground_mask
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import whole_file

LOCATIONS = 8192
# Part of what a cached index is checked by: count it up when what is gathered changes.
VERSION = 1
PROBABILITIES = 33


def open_image(file: Path) -> blosc2.NDArray:
    """Open a preprocessed image without reading it; its segmentation stays closed."""
    # Memory mapping blosc2 files does not work on Windows (nnU-Net issue 2723).
    kwargs: dict[str, Any] = {} if os.name == "nt" else {"mmap_mode": "r"}
    return blosc2.open(urlpath=str(file), mode="r", dparams={"nthreads": 1}, **kwargs)


def gather_arrays(file: Path, channel_names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of a `CaseRecord`, from the image.

    Raises:
        InputError: the image has not one channel per modality, holds NaN or infinity, or no modality at all.
    """
    case = file.stem
    image = open_image(file)[:]
    if image.shape[0] != len(channel_names):
        raise InputError(
            f"case {case}: {file} has {image.shape[0]} channels, dataset.json names {len(channel_names)} "
            f"({', '.join(channel_names)}); preprocess the data set again"
        )
    for channel, name in zip(image, channel_names, strict=True):
        if not np.isfinite(channel).all():
            raise InputError(f"case {case}, modality {name}: NaN or infinite intensities; repair or remove the case")
    present = np.array([np.ptp(channel) > 1e-6 for channel in image])
    if not present.any():
        raise InputError(f"case {case}: every modality is constant; remove the case")
    background = np.array(
        [constant_background(channel) if there else np.nan for channel, there in zip(image, present, strict=True)]
    )
    mask = foreground_mask(image, background, present)
    if not mask.any():
        raise InputError(f"case {case}: nothing but background; remove the case")
    positions = np.flatnonzero(mask)
    # Seeded, so that the index, and with it a seeded run, does not depend on when it was made.
    chosen = np.random.default_rng(0).choice(positions, min(LOCATIONS, len(positions)), replace=False)
    inside = [channel[mask] if there else np.zeros(1) for channel, there in zip(image, present, strict=True)]
    return {
        "present": present,
        "background": background,
        "foreground_voxels": np.array(len(positions)),
        "locations": np.stack(np.unravel_index(chosen, mask.shape), axis=1).astype(np.int16),
        "mean": np.array([values.mean() for values in inside]),
        "std": np.array([values.std() for values in inside]),
        "quantiles": np.stack([np.quantile(values, np.linspace(0, 1, PROBABILITIES)) for values in inside]),
    }


def build_case_index(
    folder: Path,
    cases: Sequence[str],
    channel_names: Sequence[str],
    patients: Mapping[str, str],
    rank: int = 0,
    world: int = 1,
) -> list[CaseRecord]:
    """Records of the preprocessed `cases` in `folder`, from a cache beside it where the images have not changed.

    The cache lives in the data set's base folder: nnU-Net takes any other file in `folder` for a case format. What is small
    lies there in one file for all cases; the locations are read when a patch of the case is drawn. Of several processes
    (`rank` of `world`) each looks at its share of the images.

    Raises:
        InputError: a case has no preprocessed image, or an image is not usable (see `gather_arrays`).
    """
    there = {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
    missing = [case for case in cases if f"{case}.b2nd" not in there]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(cases)} cases have no preprocessed image in {folder} ({', '.join(missing[:3])}…): "
            "run nnUNetv2_preprocess (or nnssl_plugin align for a pre-training data set)"
        )
    cache = folder.parent / "nnssl_plugin_cache" / folder.name
    cache.mkdir(parents=True, exist_ok=True)
    states = {case: _image_state(folder / f"{case}.b2nd") for case in cases}
    together, cached = cache.parent / f"{cache.name}.npz", {entry.name for entry in os.scandir(cache)}
    read = read_statistics(together, states, len(channel_names))
    known = {case: arrays for case, arrays in read.items() if f"{case}.npz" in cached}
    unknown = [case for case in cases if case not in known]
    stale = [
        case
        for case in cases[rank::world]
        if case not in known and not _is_fresh(cache / f"{case}.npz", states[case], len(channel_names))
    ]
    if stale:
        jobs = [(folder / f"{case}.b2nd", cache / f"{case}.npz", list(channel_names)) for case in stale]
        with ThreadPoolExecutor(default_num_processes) as pool:
            list(tqdm(pool.map(_write_cache, *zip(*jobs, strict=True)), "Looking for foreground", len(jobs)))
    if world > 1:
        dist.barrier()
    for case in unknown:
        with np.load(cache / f"{case}.npz") as arrays:
            known[case] = {key: arrays[key] for key in KEYS}
    if unknown and rank == 0:
        write_statistics(together, states, known)
    return [_record(case, patients[case], folder, cache, known[case]) for case in cases]


def _record(case: str, patient: str, folder: Path, cache: Path, known: Mapping[str, Any]) -> CaseRecord:
    voxels = int(known["foreground_voxels"])
    return CaseRecord(
        case,
        patient,
        folder / f"{case}.b2nd",
        **{**known, "foreground_voxels": voxels, "locations": cache / f"{case}.npz"},
    )


def _image_state(file: Path) -> tuple[int, int, int]:
    stat = file.stat()
    return VERSION, stat.st_size, stat.st_mtime_ns


def _is_fresh(cached: Path, state: Sequence[int], channels: int) -> bool:
    if not cached.is_file():
        return False
    with np.load(cached) as arrays:
        return arrays["image_state"].tolist() == list(state) and len(arrays["present"]) == channels


def _write_cache(image: Path, cached: Path, channel_names: list[str]) -> None:
    arrays = gather_arrays(image, channel_names)
    with whole_file(cached) as unfinished:
        np.savez(unfinished, **{"image_state": np.array(_image_state(image)), **arrays})  # type: ignore[arg-type]
