"""Checkpoints: written whole or not at all, resumable, and without what identifies a patient or a machine."""

import errno
import pickle
import random
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import whole_file
from nnssl_plugin.nnunet.dataset_json import without_cases

# nnU-Net logs numpy's scalars, older checkpoints of ours hold numpy's random state: data, not code.
NUMPY_GLOBALS = [
    np.ndarray,
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
    type(np.dtype(np.uint32)),
    np.float64(0).__reduce__()[0],
    np.zeros(0).__reduce__()[0],
]


# Put before every name by DistributedDataParallel and torch.compile.
WRAPPERS = ("module.", "_orig_mod.")


def save_atomically(checkpoint: Mapping[str, Any], file: str | Path) -> None:
    """Write a checkpoint; a process killed meanwhile leaves the previous file intact.

    Raises:
        OSError: it cannot be written, a full disk included; the error names `file`.
    """
    with whole_file(Path(file)) as unfinished, unfinished.open("wb") as stream:
        try:
            torch.save(checkpoint, stream)
        except RuntimeError as error:
            # torch finds that it cannot close its archive, and that hides why.
            cause = error.__context__
            number = cause.errno if isinstance(cause, OSError) else None
            raise OSError(number or errno.EIO, str(cause or error), str(file)) from error


def read_checkpoint(file: str | Path, mmap: bool = False) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without running any code that it might hold.

    Weights saved inside the wrapper of DistributedDataParallel or torch.compile come under the network's own names.

    Args:
        file: of nnU-Net, nnssl or this plugin.
        mmap: leave tensors in the file until they are used, for a look at the rest.

    Raises:
        InputError: the file is missing, truncated, no checkpoint with `network_weights`, or holds more than tensors
            and plain values.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    with torch.serialization.safe_globals(NUMPY_GLOBALS), warnings.catch_warnings():
        # A pickle of another kind: what is wrong with it is said below.
        warnings.filterwarnings("ignore", "Detected pickle protocol")
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
        except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
            raise InputError(f"{path} {_why_unreadable(path, str(error))}") from None
    weights = content.get("network_weights") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    ):
        raise InputError(f"{path} is no checkpoint of nnU-Net, nnssl or this plugin: it has no 'network_weights'")
    return {**content, "network_weights": {without_wrappers(name): value for name, value in weights.items()}}


def without_wrappers(name: str) -> str:
    """Name of a weight, or of a part of a network, in the network that was wrapped."""
    while name.startswith(WRAPPERS):
        name = name.partition(".")[2]
    return name


def _why_unreadable(path: Path, error: str) -> str:
    if "Unsupported global" in error:
        kinds = ", ".join(sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(path))))
        return (
            f"holds more than tensors and plain values ({kinds}), and reading those could run code; ask its author for a "
            "file that torch.load reads with weights_only=True"
        )
    with path.open("rb") as stream:
        begins_as_zip = stream.read(2) == b"PK"
    if begins_as_zip:
        return "is truncated or damaged: torch cannot read it. Copy or download it again"
    return "is no checkpoint: torch cannot read it"


def shareable_init_args(init_args: Mapping[str, Any]) -> dict[str, Any]:
    """nnU-Net's record of a trainer's arguments, without the case ids and paths of `dataset.json`."""
    return {**init_args, "dataset_json": without_cases(init_args["dataset_json"])}


def to_plain(value: Any) -> Any:
    """Nested dicts, lists and tuples with every tensor on the CPU and numpy's scalars as Python's.

    So that `torch.load` reads the file with `weights_only=True`.
    """
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(to_plain(item) for item in value)
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
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, np.asarray(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    # States of another kind of device do not fit; the generator then stays as it is seeded.
    if state["views"].numel() == generator.get_state().numel():
        generator.set_state(state["views"].cpu())
