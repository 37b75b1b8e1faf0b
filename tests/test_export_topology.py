"""Round trips between topologies: what is transferred is equal, what is not is as nnU-Net initialises it."""

import re
from typing import Any

import pytest
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import Tensor, nn

from nnssl_plugin.checkpoints.unet_weights import family
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.channels import adapt_input
from nnssl_plugin.export.topology import Layer, share, table, transfer
from nnssl_plugin.networks.contextual_fusion_unet import ContextualFusionPlainConvUNet
from tests.synthetic import architecture

FUSED: dict[str, Any] = {
    "name": f"{ContextualFusionPlainConvUNet.__module__}.{ContextualFusionPlainConvUNet.__name__}",
    "fusion_bottleneck": (4, 4, 4),
}


def build(
    axes: int = 3, residual: bool = False, channels: int = 4, seed: int = 0, name: str = "", **changes: Any
) -> nn.Module:
    stages = changes.pop("stages", 3)
    plans = architecture(axes, residual, stages)
    torch.manual_seed(seed)
    return get_network_from_plans(
        name or plans["network_class_name"],
        {**plans["arch_kwargs"], **changes},
        plans["_kw_requires_import"],
        channels,
        2,
        deep_supervision=True,
    )


def level(name: str, stages: int) -> str:
    """A name with its decoder stage counted from full resolution, the same in networks of any depth."""
    match = re.match(r"(decoder\.(?:stages|transpconvs))\.(\d+)(.*)", name)
    return f"{match[1]}@{stages - 2 - int(match[2])}{match[3]}" if match else name


def by_level(network: nn.Module) -> dict[str, Tensor]:
    return {level(name, len(network.encoder.stages)): value for name, value in network.state_dict().items()}


def exported(source: nn.Module, target: nn.Module, channels: list[int | None] | None = None) -> list[Layer]:
    """Transfer, and check every tensor of the target against source and fresh initialisation."""
    fresh = {name: value.clone() for name, value in target.state_dict().items()}
    inputs = channels if channels is not None else [0, 1, 2, 3]
    layers = transfer(source.state_dict(), target, inputs)
    stages, there = len(target.encoder.stages), by_level(source)
    taken = {layer.name: layer.transferred for layer in layers}
    for name, value in target.state_dict().items():
        if ".seg_layers." in name:
            assert torch.equal(value, fresh[name])
            continue
        plain = name.removeprefix("decoder.") if name.startswith("decoder.encoder.") else name
        layer = max((layer for layer in taken if plain.startswith(f"{layer}.")), key=len)
        if not taken[layer]:
            assert torch.equal(value, fresh[name]), f"{name} is not as initialised"
            continue
        expected = there[level(plain, stages)]
        if plain.endswith(".weight") and plain.removesuffix(".weight") in target.keys_to_in_proj:
            expected = adapt_input(expected, inputs)
        assert torch.equal(value, expected), f"{name} is not the source's"
    return layers


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def stage_share(target: nn.Module, kept: list[int]) -> float:
    return sum(parameters(target.encoder.stages[i]) for i in kept) / parameters(target.encoder)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("axes", [2, 3])
def test_same_topology_is_transferred_whole(axes: int, residual: bool) -> None:
    layers = exported(build(axes, residual, seed=1), build(axes, residual, seed=2))
    assert all(layer.transferred for layer in layers)
    assert (share(layers, "encoder"), share(layers, "decoder")) == (1, 1)


@pytest.mark.parametrize("residual", [False, True])
def test_deeper_and_shallower(residual: bool) -> None:
    """Encoder stages from the input on, decoder stages by resolution."""
    small, large = build(residual=residual, stages=3, seed=1), build(residual=residual, stages=4, seed=2)
    layers = exported(small, large)
    stem = parameters(large.encoder.stem) if residual else 0
    kept = stem + sum(parameters(large.encoder.stages[i]) for i in range(3))
    assert share(layers, "encoder") == pytest.approx(kept / parameters(large.encoder))
    # Between the two lowest levels everything is new.
    new = {layer.name for layer in layers if not layer.transferred and layer.name.startswith("decoder")}
    assert new == {"decoder.stages.0.convs.0", "decoder.transpconvs.0"}

    layers = exported(build(residual=residual, stages=4, seed=1), build(residual=residual, stages=3, seed=2))
    assert (share(layers, "encoder"), share(layers, "decoder")) == (1, 1)


@pytest.mark.parametrize(("source", "target"), [([4, 8, 16], [4, 8, 24]), ([4, 8, 24], [4, 8, 16])])
def test_wider_and_narrower_bottleneck(source: list[int], target: list[int]) -> None:
    network = build(seed=2, features_per_stage=target)
    layers = exported(build(seed=1, features_per_stage=source), network)
    assert share(layers, "encoder") == pytest.approx(stage_share(network, [0, 1]))
    notes = {layer.name: layer.note for layer in layers if not layer.transferred}
    assert notes["encoder.stages.2.0.convs.0"] == f"{source[2]}x8x3x3x3 in the checkpoint, {target[2]}x8x3x3x3 here"
    assert set(notes) == {"encoder.stages.2.0.convs.0", "decoder.transpconvs.0"}


def test_other_width_everywhere_transfers_nothing() -> None:
    layers = exported(build(seed=1), build(seed=2, features_per_stage=[6, 12, 24]))
    assert not any(layer.transferred for layer in layers)
    assert share(layers, "encoder") == 0


def test_other_kernels_and_strides() -> None:
    changes = {"kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]], "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]]}
    network = build(seed=2, **changes)
    layers = exported(build(seed=1), network)
    assert share(layers, "encoder") == pytest.approx(stage_share(network, [1, 2])), "strides do not change a kernel"
    new = {layer.name for layer in layers if not layer.transferred}
    # The up-sampling's kernel is its stride; the last decoder stage has the first stage's kernel.
    assert new == {"encoder.stages.0.0.convs.0", "decoder.stages.1.convs.0", "decoder.transpconvs.1"}


@pytest.mark.parametrize("residual", [False, True])
def test_more_and_fewer_blocks(residual: bool) -> None:
    argument = "n_blocks_per_stage" if residual else "n_conv_per_stage"
    few, many = {argument: [1, 1, 1]}, {argument: [1, 2, 3]}
    layers = exported(build(residual=residual, seed=1, **few), build(residual=residual, seed=2, **many))
    missing = [layer for layer in layers if not layer.transferred]
    assert missing
    assert all(layer.note == "not in the checkpoint" for layer in missing)
    assert all(re.search(r"(blocks|convs)\.[12]\b", layer.name) for layer in missing)
    layers = exported(build(residual=residual, seed=1, **many), build(residual=residual, seed=2, **few))
    assert share(layers, "encoder") == 1


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    ("count", "channels"),
    [
        (4, [2, 0, 1, 3]),
        (4, [3, 1, 0]),
        (4, [2]),
        (1, [0, 0, 0, 0]),
        (1, [0, None, None, None]),
        (3, [None, 0, 1, None, 2]),
    ],
)
def test_other_channels(residual: bool, count: int, channels: list[int | None]) -> None:
    source = build(residual=residual, channels=count, seed=1)
    target = build(residual=residual, channels=len(channels), seed=2)
    layers = exported(source, target, channels)
    assert all(layer.transferred for layer in layers)
    first = target.get_submodule(target.keys_to_in_proj[0]).weight
    origin = source.get_submodule(source.keys_to_in_proj[0]).weight
    assert torch.equal(first, adapt_input(origin, channels))
    adapted = [layer.name for layer in layers if layer.note]
    assert adapted == ["encoder.stem.convs.0" if residual else "encoder.stages.0.0.convs.0"]


def test_plans_with_a_fusion_block_and_without() -> None:
    stock, fused = build(seed=1), build(seed=2, **FUSED)
    layers = exported(stock, fused)
    assert [layer.name for layer in layers if not layer.transferred] == ["fusion"]
    assert share(layers, "encoder") == 1
    layers = exported(build(seed=3, **FUSED), build(seed=4))
    assert all(layer.transferred for layer in layers)
    layers = exported(build(seed=3, **FUSED), build(seed=4, **FUSED))
    assert all(layer.transferred for layer in layers)
    assert "fusion" in {layer.name for layer in layers}


def test_a_fusion_block_of_other_branches_is_taken_whole_or_not_at_all() -> None:
    large = {**FUSED, "fusion_bottleneck": (8, 8, 8)}
    for source, target in ((FUSED, large), (large, FUSED)):
        layers = exported(build(seed=3, **source), build(seed=4, **target))
        assert [layer.name for layer in layers if not layer.transferred] == ["fusion"]


def test_every_parameter_is_in_one_layer() -> None:
    for network in (build(), build(residual=True), build(**FUSED)):
        layers = transfer(network.state_dict(), network, [0, 1, 2, 3])
        heads = parameters(network.decoder.seg_layers)
        assert sum(layer.parameters for layer in layers) == parameters(network) - heads


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ({}, {"residual": True}, "holds a plain 3d U-Net, the target's plans describe a residual-encoder 3d one"),
        ({"residual": True}, {}, "holds a residual-encoder 3d U-Net, the target's plans describe a plain 3d one"),
        ({"axes": 2}, {}, "holds a plain 2d U-Net, the target's plans describe a plain 3d one"),
    ],
)
def test_other_families_are_refused(source: dict, target: dict, message: str) -> None:
    network = build(**target)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(InputError, match=message):
        transfer(build(**source).state_dict(), network, [0, 1, 2, 3])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_other_networks_are_refused() -> None:
    with pytest.raises(InputError, match=r"no U-Net as nnU-Net's plans describe it"):
        family({"eva.blocks.0.weight": torch.zeros(3, 3)})


def test_table_sums_the_layers() -> None:
    source, target = build(seed=1), build(seed=2, n_conv_per_stage=[1, 1, 2])
    rows = {name: (count, part, note) for name, count, part, note in table(exported(source, target))}
    stage = target.encoder.stages[2]
    assert rows["encoder.stages.2"][0] == parameters(stage)
    assert rows["encoder.stages.2"][1] == pytest.approx(parameters(stage[0].convs[0]) / parameters(stage))
    assert rows["encoder.stages.2"][2] == "not in the checkpoint"
    assert rows["decoder.transpconvs.0"][1:] == (1, "")
    assert isinstance(target, PlainConvUNet)
