"""What a checkpoint offers to a target: weights, the names of its channels and where it comes from."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.nnssl_format import ADAPTATION_PLAN, unet_weights
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import channel_names

PLUGIN = "nnssl_plugin"
UNNAMED = "the only channel"


@dataclass(frozen=True)
class Source:
    """A checkpoint that was read.

    Attributes:
        weights: under the names of nnU-Net's U-Nets.
        channels: names of its input channels.
        parent: what an export records of it: hash of the file, and its own provenance where it has one.
        citations: in nnssl's format.
    """

    weights: Mapping[str, Tensor]
    channels: list[str]
    parent: dict[str, Any]
    citations: list[dict[str, Any]]


def read_source(file: Path) -> Source:
    """Read a checkpoint of nnU-Net or of this plugin.

    Raises:
        InputError: it cannot be read, or does not say which channels it was trained on.
    """
    checkpoint = read_checkpoint(file)
    channels = recorded_channels(checkpoint)
    if not channels:
        raise InputError(
            f"{file} does not say which channels it was trained on (no init_args of nnU-Net, no provenance of this "
            "plugin). For checkpoints of nnssl there is nnssl_plugin import-nnssl"
        )
    return _source(file, checkpoint, checkpoint["network_weights"], channels)


def read_nnssl_source(file: Path) -> Source:
    """Read a checkpoint of nnssl; its one channel has no name and fits all, several are named by their numbers.

    Raises:
        InputError: it cannot be read or is none of nnssl's.
    """
    checkpoint = read_checkpoint(file)
    weights = unet_weights(checkpoint, str(file))
    count = int(checkpoint[ADAPTATION_PLAN]["pretrain_num_input_channels"])
    unnamed = [UNNAMED] if count == 1 else [str(channel) for channel in range(count)]
    return _source(file, checkpoint, weights, recorded_channels(checkpoint) or unnamed)


def recorded_channels(checkpoint: Mapping[str, Any]) -> list[str]:
    """Channel names by the plugin's provenance or nnU-Net's `init_args`; none where neither is there."""
    own = recorded_provenance(checkpoint)
    if own:
        return list(own["channel_names"])
    return channel_names(checkpoint.get("init_args", {}).get("dataset_json", {}))


def recorded_provenance(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What this plugin wrote about the making of a checkpoint; empty for others."""
    return dict(checkpoint.get(PLUGIN, {}).get("provenance", {}))


def file_digest(file: Path) -> str:
    """SHA-256 of a file."""
    result = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            result.update(chunk)
    return result.hexdigest()


def _source(file: Path, checkpoint: Mapping[str, Any], weights: Mapping[str, Tensor], channels: list[str]) -> Source:
    first = r"encoder\.(stem|stages\.0\.0)\.convs\.0\.conv\.weight"
    inputs = next((value.shape[1] for name, value in weights.items() if re.fullmatch(first, name)), len(channels))
    if inputs != len(channels):
        raise InputError(
            f"{file}: its first convolution has {inputs} input channels, its record names {len(channels)} "
            f"({', '.join(channels)})"
        )
    parent = {"sha256": file_digest(file), **recorded_provenance(checkpoint)}
    return Source(weights, channels, parent, list(checkpoint.get("citations", [])))
