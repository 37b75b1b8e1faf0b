from typing import Any

import pytest
import torch
from torch import Tensor

from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.planning.fused_network import with_contextual_fusion
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from tests.batches import make_batch
from tests.pretraining_networks import stock_network, with_objectives, with_toys
from tests.synthetic import make_plans

ALONE: list[tuple[str, dict[str, object]]] = [(name, {}) for name in OBJECTIVES] + [
    ("local_contrastive", {"depths": [1]}),
    ("local_contrastive", {"depths": [0, 2]}),
]


def backward(module: PretrainingNetwork, axes: int = 2) -> set[str]:
    """One backward pass; the names of the parameters that are trained, each of which has a gradient, and no other."""
    batch, generator = make_batch(axes, 4, size=2), torch.Generator().manual_seed(0)
    views = {name: objective.draw_views(batch, generator) for name, objective in module.objectives.items()}
    total, _ = module({"plans": batch, "patients": batch}, views)
    total.backward()
    trained = {key for key, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained == {key for key, parameter in module.named_parameters() if parameter.grad is not None}
    return trained


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("name", "settings"), ALONE)
def test_every_parameter_that_is_trained_gets_a_gradient(
    name: str, settings: dict[str, object], residual: bool, fused: bool
) -> None:
    """One objective alone; DDP stops at a parameter that waits for a gradient in vain."""
    plans = make_plans(residual=residual)
    plan = (with_contextual_fusion(plans) if fused else plans)["configurations"]["2d"]["architecture"]
    module = with_objectives(stock_network(plan=plan), **{name: settings})
    trained = backward(module)
    lowest = any(key.startswith("network.encoder.stages.2.") for key in trained)
    # The default of local contrast looks at the two stages above the bottleneck.
    assert lowest == (name != "local_contrastive" or settings == {"depths": [0, 2]})
    assert any(key.startswith("network.fusion.") for key in trained) == (fused and lowest)
    assert any(key.startswith("network.decoder.stages.") for key in trained) == bool(module.needs[name].decoder_stages)


def outputs_of_stock(network: Any, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """What the encoder's and the decoder's stages put out while the stock network segments."""
    decoded: list[Tensor] = []
    hooks = [
        stage.register_forward_hook(lambda *caught: decoded.append(caught[-1])) for stage in network.decoder.stages
    ]
    with torch.no_grad():
        encoded = network.encoder(images)
        network(images)
    for hook in hooks:
        hook.remove()
    return encoded, decoded


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("axes", [2, 3])
def test_stages_are_those_of_the_stock_network_for_views_of_every_size(axes: int, residual: bool) -> None:
    network = stock_network(axes, residual, stages=4)
    module = with_toys(
        network,
        all=Needs("plans", ("augmented",), views=1.5, decoder_stages=(-1, -3)),
        few=Needs("plans", ("augmented",), views=1.5, decoder_stages=(-2,)),
        none=Needs("plans", ("augmented",), views=1.5),
    )
    batch = make_batch(axes, 4, size=2)
    views = {name: objective.draw_views(batch, torch.Generator()) for name, objective in module.objectives.items()}
    forwards = []
    counter = network.encoder.register_forward_hook(lambda _, inputs, __: forwards.append(inputs[0].shape))
    with torch.no_grad():
        features = module.encode(views)
    counter.remove()
    assert len(forwards) == 2, "views of one size go through the encoder together"
    assert [list(features[name]) for name in features] == [["whole", "half"]] * 3
    for view, images in views["all"].images.items():
        encoded, decoded = outputs_of_stock(network, images)
        for name, stages in (("all", (-1, -3)), ("few", (-2,)), ("none", ())):
            one = features[name][view]
            for ours, stock in zip(one.encoder, encoded, strict=True):
                torch.testing.assert_close(ours, stock)
            assert tuple(one.decoder) == stages
            for number in stages:
                torch.testing.assert_close(one.decoder[number], decoded[number])


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize(
    ("needs", "encoder", "decoder"),
    [
        ([{"decoder_stages": (-3,)}], 4, 1),
        ([{"decoder_stages": (-2,)}, {"encoder_stages": (-3,)}], 4, 2),
        ([{"decoder_stages": (-2, -3), "encoder_stages": ()}], 4, 2),
        ([{"encoder_stages": (-2, -4)}], 3, 0),
        ([{"encoder_stages": (-4,)}, {"encoder_stages": (-3,)}], 2, 0),
    ],
)
def test_what_no_loss_reaches_is_frozen(
    axes: int, residual: bool, needs: list[dict[str, Any]], encoder: int, decoder: int
) -> None:
    module = with_toys(
        stock_network(axes, residual, stages=4),
        **{f"toy{i}": Needs("plans", ("augmented",), views=1.5, **need) for i, need in enumerate(needs)},
    )
    trained = backward(module, axes)
    stages = {tuple(key.split(".")[1:4]) for key in trained if key.startswith("network.")}
    expected = {("encoder", "stages", str(i)) for i in range(encoder)}
    for i in range(decoder):
        expected |= {("decoder", "stages", str(i)), ("decoder", "transpconvs", str(i))}
    if residual:
        expected |= {("encoder", "stem", "convs")}
    assert stages == expected
    assert module.lowest_stage == encoder - 4 - 1


def test_the_total_is_the_weighted_sum_of_the_objectives() -> None:
    network = stock_network()
    module = with_objectives(network, slem={"weight": 0.5}, restoration={"weight": 2.0})
    batch, generator = make_batch(2, 4), torch.Generator().manual_seed(0)
    views = {name: objective.draw_views(batch, generator) for name, objective in module.objectives.items()}
    total, results = module({"plans": batch, "patients": batch}, views)
    torch.testing.assert_close(total, 0.5 * results["slem"].loss + 2 * results["restoration"].loss)


def test_each_objective_scores_the_kind_of_patches_it_asked_for() -> None:
    module = with_objectives(stock_network(), slem={}, restoration={})
    small, large = make_batch(2, 4, size=5, patch=16), make_batch(2, 4, size=2, patch=32)
    batches = {"patients": small, "plans": large}
    views = {
        name: objective.draw_views(batches[module.needs[name].patches], torch.Generator().manual_seed(0))
        for name, objective in module.objectives.items()
    }
    assert views["slem"].images["mosaic"].shape == (5, 4, 16, 16)
    assert views["restoration"].images["partial"].shape == (2, 4, 32, 32)
    total, _ = module(batches, views)
    assert torch.isfinite(total)
