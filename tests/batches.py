"""Batches as the loader makes them, without a loader."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import NetworkShape

NAMES = ("T1", "T1c", "T2", "FLAIR")


def make_batch(axes: int, channels: int, size: int = 6, patch: int = 32, constant: bool = False) -> PretrainingBatch:
    generator = torch.Generator().manual_seed(1)
    shape = (size, channels, *[patch if axes == 2 else 16] * axes)
    data = torch.randn(shape, generator=generator)
    if constant:
        data = (torch.arange(channels) + 1.0).view(1, -1, *[1] * axes).expand(shape).clone()
    batch = PretrainingBatch(
        images={"augmented": data, "clean": data.clone(), "denormalized": data * 2},
        denormalized_target=torch.roll(torch.arange(channels), 1).expand(size, -1).clone(),
        foreground=torch.ones(size, 1, *shape[2:], dtype=torch.bool),
        present=torch.ones(size, channels, dtype=torch.bool),
        patient=torch.arange(size),
        cases=[f"case{i}" for i in range(size)],
    )
    second = {name: values.flip(2) for name, values in batch.images.items()}
    return replace(batch, second=replace(batch, images=second), supervoxels=boxes(shape).clone())


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
