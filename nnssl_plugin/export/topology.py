"""Parameters of one U-Net for another: what fits is transferred, layer by layer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnssl_plugin.checkpoints.unet_weights import SEGMENTATION, family
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.channels import adapt_input


@dataclass(frozen=True)
class Layer:
    """What became of one layer (convolution and norm) of the target.

    Attributes:
        name: in the target, like `encoder.stages.0.0.convs.0`.
        parameters: how many numbers it holds.
        transferred: whether they are the checkpoint's; otherwise they are freshly initialised.
        note: why not, or what was changed.
    """

    name: str
    parameters: int
    transferred: bool
    note: str = ""


def transfer(source: Mapping[str, Tensor], network: nn.Module, channels: Sequence[int | None]) -> list[Layer]:
    """Copy into a freshly initialised `network` every layer that the checkpoint has in the same shape.

    Encoder stages correspond from the input on, decoder stages by resolution: a deeper network keeps its new, lowest
    stages as they are. A layer is a convolution with its norm and is taken whole or not at all; anything else beside
    the stages (a contextual fusion block, say) is one layer. Segmentation layers are always new, as in nnU-Net.

    Args:
        source: state dict of a plain or residual-encoder U-Net.
        network: of the same family, changed in place.
        channels: source channel of each input channel (`match_channels`).

    Raises:
        InputError: the two are of different families or dimensions, or `source` is no U-Net.
    """
    own = _distinct_tensors(network)
    _check_family(source, own)
    shift = _stages(own) - _stages(source)
    inputs = {f"{key}.weight" for key in getattr(network, "keys_to_in_proj", ())}
    layers: dict[str, list[str]] = {}
    for name in own:
        if SEGMENTATION not in name:
            layers.setdefault(_layer_of(name), []).append(name)
    report = []
    for layer, names in layers.items():
        fitting, note = {}, ""
        for name in names:
            value = source.get(_counterpart(name, shift))
            if value is None:
                note = "not in the checkpoint"
                break
            if name in inputs and list(channels) != list(range(value.shape[1])):
                note = _channels_note(value.shape[1], len(channels))
                value = adapt_input(value, channels)
            if value.shape != own[name].shape:
                note = f"{_size(value)} in the checkpoint, {_size(own[name])} here"
                break
            fitting[name] = value
        whole = len(fitting) == len(names)
        if whole:
            with torch.no_grad():
                for name, value in fitting.items():
                    own[name].copy_(value)
        report.append(Layer(layer, sum(own[name].numel() for name in names), whole, note))
    return report


def share(layers: Sequence[Layer], part: str) -> float:
    """Share of the parameters of `part` (a prefix, like `encoder`) that were transferred, 0 to 1."""
    chosen = [layer for layer in layers if f"{layer.name}.".startswith(f"{part}.")]
    total = sum(layer.parameters for layer in chosen)
    return sum(layer.parameters for layer in chosen if layer.transferred) / total if total else 0.0


def table(layers: Sequence[Layer]) -> list[tuple[str, int, float, str]]:
    """Per part (stem, stage, up-sampling, …): name, parameters, share transferred, notes."""
    parts: dict[str, list[Layer]] = {}
    for layer in layers:
        match = re.match(r"(encoder\.stages|decoder\.stages|decoder\.transpconvs)\.\d+|\w+\.\w+", layer.name)
        parts.setdefault(match[0] if match else layer.name, []).append(layer)
    return [
        (
            name,
            sum(layer.parameters for layer in members),
            share(members, name.split(".")[0]),
            "; ".join(dict.fromkeys(layer.note for layer in members if layer.note)),
        )
        for name, members in parts.items()
    ]


def _check_family(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    given, wanted = family(source), family(target)
    if given != wanted:
        raise InputError(
            f"the checkpoint holds a {given} U-Net, the target's plans describe a {wanted} one; weights go from plain to "
            "plain and from residual to residual encoders of the same dimension. Choose other plans (-p) or another "
            "configuration (-c) of the target"
        )


def _distinct_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer once, under the first of its names (nnU-Net's networks list most twice or more)."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, value in network.state_dict(keep_vars=True).items():
        found.setdefault(id(value), (name, value))
    return dict(found.values())


def _stages(weights: Mapping[str, Tensor]) -> int:
    return len({match[1] for name in weights if (match := re.match(r"encoder\.stages\.(\d+)\.", name))})


def _counterpart(name: str, shift: int) -> str:
    # Decoder stages are counted from the bottleneck, so the same resolution has another number in a deeper network.
    match = re.match(r"(decoder\.(?:stages|transpconvs)\.)(\d+)(\..*)", name)
    return f"{match[1]}{int(match[2]) - shift}{match[3]}" if match else name


def _layer_of(name: str) -> str:
    if re.match(r"encoder\.(stages|stem)\.|decoder\.(stages|transpconvs)\.", name):
        return re.sub(r"(\.(conv|norm))?\.[^.]+$", "", name)
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] in ("encoder", "decoder") else parts[0]


def _channels_note(before: int, after: int) -> str:
    return "input channels by name" if before == after else f"{before} input channels → {after}"


def _size(value: Tensor) -> str:
    return "x".join(map(str, value.shape))
