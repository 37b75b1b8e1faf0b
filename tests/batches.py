"""Batches as the loader makes them, without a loader."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import Features, NetworkShape
from nnssl_plugin.objectives.reports import side_data_of
from tests.reports import text

NAMES = ("T1", "T1c", "T2", "FLAIR")


def make_batch(axes: int, channels: int, size: int = 6, patch: int = 32, constant: bool = False) -> PretrainingBatch:
    generator = torch.Generator().manual_seed(1)
    shape = (size, channels, *[patch if axes == 2 else 16] * axes)
    data = torch.randn(shape, generator=generator)
    if constant:
        data = (torch.arange(channels) + 1.0).view(1, -1, *[1] * axes).expand(shape).clone()
    grid = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in shape[2:]), indexing="ij"))
    batch = PretrainingBatch(
        # What is augmented differs from what is clean.
        images={"augmented": data, "clean": data - 0.5, "denormalized": data * 2},
        denormalized_target=torch.roll(torch.arange(channels), 1).expand(size, -1).clone(),
        foreground=torch.ones(size, 1, *shape[2:], dtype=torch.bool),
        present=torch.ones(size, channels, dtype=torch.bool),
        patient=torch.arange(size),
        coordinates=grid.expand(size, *grid.shape).clone(),
        supervoxels=boxes(shape).clone(),
        frame_pair=torch.stack([data, data * 0.5], dim=1),
        side_data={name: side_data([text(i) for i in range(size)]) for name in ("report_contrast", "region_contrast")},
        cases=[f"case{i}" for i in range(size)],
    )
    # Four voxels further along the first axis.
    offset = torch.tensor([4.0, 0, 0][:axes]).view(-1, *[1] * axes)
    images = {name: torch.roll(image, -4, 2) for name, image in batch.images.items()}
    batch.second = replace(
        batch, images=images, foreground=batch.foreground.clone(), coordinates=batch.coordinates + offset
    )
    return batch


def side_data(texts: Sequence[str]) -> dict[str, Tensor]:
    """Reports as the loader hands them over."""
    rows = [side_data_of(one) for one in texts]
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def boxes(shape: Sequence[int], edge: int = 8) -> Tensor:
    """Numbers of boxes of voxels, in the place of supervoxels: `[B, C, *P]` → `[B, 1, *P]`."""
    numbers = torch.zeros(tuple(shape[2:]), dtype=torch.long)
    for axis, size in enumerate(shape[2:]):
        cell = torch.arange(size) // edge
        numbers = numbers * (size // edge + 1) + cell.view([-1 if a == axis else 1 for a in range(len(shape) - 2)])
    return numbers.expand(shape[0], 1, *shape[2:])


def smooth_batch(axes: int, channels: int, size: int = 6) -> PretrainingBatch:
    """A batch whose content can be told from what lies around it, and differs between places and patients."""
    batch = make_batch(axes, channels, size)
    places = torch.meshgrid(*(torch.linspace(-1, 1, s) for s in batch.patch_size), indexing="ij")
    phase = torch.linspace(0, 3, size).view(-1, 1, *[1] * axes)
    wave = torch.sin(3 * sum(axis * (i + 1) for i, axis in enumerate(places)) + phase) + places[0]
    gains = torch.linspace(0.5, 1.5, channels).view(1, -1, *[1] * axes)
    images = {name: wave * gains + 0.1 * values for name, values in batch.images.items()}
    second = replace(batch, images={name: wave * gains + 0.1 * values.flip(2) for name, values in batch.images.items()})
    return replace(batch, images=images, second=second)


def network_shape(axes: int, channels: int, features: int = 16, decoder: int = 8) -> NetworkShape:
    return NetworkShape(NAMES[:channels], (32,) * axes if axes == 2 else (16,) * axes, (4,) * axes, (decoder, features))


def pair(*stages: Tensor) -> dict[str, Features]:
    """Features of the views of a modality pair, of stages `[2 B, F, *S]`: all sources first, then all targets."""
    source, target = zip(*(stage.chunk(2) for stage in stages), strict=True)
    return {"source": Features(source), "target": Features(target)}


def loaded(batch: PretrainingBatch, *kinds: str) -> dict[str, Any]:
    """A batch as the loader hands it over, flat, once for each kind of patches."""
    own = {key: getattr(batch, key) for key in ("present", "patient", "denormalized_target", "frame_pair", "cases")}
    for prefix, crop in (("", batch), ("second/", batch.second)):
        if crop is not None:
            own |= {f"{prefix}{key}": getattr(crop, key) for key in ("foreground", "coordinates")}
            own |= {f"{prefix}images/{name}": image for name, image in crop.images.items()}
    for name, values in batch.side_data.items():
        own |= {f"side_data/{name}/{key}": value for key, value in values.items()}
    return {f"{kind}/{key}": value for kind in kinds for key, value in own.items()}
