"""Checkpoints: written whole or not at all, resumable, and without what identifies a patient or a machine."""

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnssl_plugin.data.dataset_json import without_cases


def save_atomically(checkpoint: Mapping[str, Any], file: str | Path) -> None:
    """Write a checkpoint; a process killed meanwhile leaves the previous file intact."""
    partial = Path(f"{file}.part")
    with partial.open("wb") as stream:
        torch.save(checkpoint, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def shareable_init_args(init_args: Mapping[str, Any]) -> dict[str, Any]:
    """nnU-Net's record of a trainer's arguments, without the case ids and paths of `dataset.json`."""
    return {**init_args, "dataset_json": without_cases(init_args["dataset_json"])}


def to_cpu(value: Any) -> Any:
    """Nested dicts, lists and tuples with every tensor on the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, dict):
        return {key: to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_cpu(item) for item in value)
    return value


def random_state(generator: torch.Generator) -> dict[str, Any]:
    """State of every random number generator a run draws from; `generator` draws the views."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": torch.get_rng_state(),
        "views": generator.get_state().cpu(),
    }


def restore_random_state(state: Mapping[str, Any], generator: torch.Generator) -> None:
    """Undo of `random_state`."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"].cpu())
    # States of another kind of device do not fit; the generator then stays as it is seeded.
    if state["views"].numel() == generator.get_state().numel():
        generator.set_state(state["views"].cpu())
