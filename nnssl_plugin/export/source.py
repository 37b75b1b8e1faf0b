"""What a checkpoint offers to a target: weights, the names of its channels and where it comes from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.nnssl_format import unet_weights
from nnssl_plugin.checkpoints.provenance import file_sha256
from nnssl_plugin.checkpoints.recorded import recorded_channels, recorded_citations, recorded_provenance
from nnssl_plugin.checkpoints.unet_weights import input_channels
from nnssl_plugin.errors import InputError

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
    count = input_channels(weights) or 1
    unnamed = [UNNAMED] if count == 1 else [str(channel) for channel in range(count)]
    return _source(file, checkpoint, weights, recorded_channels(checkpoint) or unnamed)


def _source(file: Path, checkpoint: Mapping[str, Any], weights: Mapping[str, Tensor], channels: list[str]) -> Source:
    inputs = input_channels(weights) or len(channels)
    if inputs != len(channels):
        raise InputError(
            f"{file}: its first convolution has {inputs} input channels, its record names {len(channels)} "
            f"({', '.join(channels)})"
        )
    parent = {"sha256": file_sha256(file), **recorded_provenance(checkpoint)}
    return Source(weights, channels, parent, recorded_citations(checkpoint))
