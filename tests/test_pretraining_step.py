from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.optimizer import adamw
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from nnssl_plugin.pretraining.step import PretrainingStep
from tests.batches import loaded, make_batch
from tests.nothing_waits import NothingWaits
from tests.pretraining_networks import stock_network, with_objectives, with_toys

TAUGHT = Needs("plans", ("augmented",), views=1.5, teacher_views=1, decoder_stages=(-2,))


def step_of(network: PretrainingNetwork) -> PretrainingStep:
    step = PretrainingStep(network, adamw(network.parameters(), 1e-2, 1e-2), torch.device("cpu"))
    step.start()
    step.generator.manual_seed(0)
    return step


def weights(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("waits", ["item", "mask", "multinomial", "if", "list"])
def test_the_check_for_waiting_finds_it(waits: str) -> None:
    x = torch.rand(5)
    with pytest.raises(AssertionError, match="waits for the device"), NothingWaits():
        {
            "item": x.sum().item,
            "mask": lambda: x[x > 0],
            "list": lambda: torch.tensor([1.0, 2.0]),
            "multinomial": lambda: x.multinomial(1),
            "if": (x.sum() > 0).__bool__,
        }[waits]()


def test_a_step_never_waits_for_the_device() -> None:
    network = with_objectives(
        stock_network(), slem={"denormalization_probability": 0.5}, contrastive={}, local_contrastive={}, restoration={}
    )
    step = step_of(network)
    batch = make_batch(2, 4)
    batch.present[0, 1:] = False
    with NothingWaits() as mode:
        for _ in range(2):
            values = step.train(loaded(batch, "plans", "patients"))
    assert {"convolution", "convolution_backward", "_amp_update_scale_", "_fused_adamw_"} <= mode.seen
    assert values["skipped"] == 0
    assert {name.split("/")[0] for name in values if "/" in name} == {*network.objectives, "skipped"}


EVERY = {
    **{name: {} for name in OBJECTIVES if name != "report_contrast"},
    "region_contrast": {"against": "modality"},
    "frame_contrast": {"frames": "modalities"},
}


@pytest.mark.parametrize(
    "objectives",
    [{"slem": {}, "contrastive": {}, "restoration": {}}, pytest.param(EVERY, marks=pytest.mark.slow)],
    ids=["full", "every"],
)
def test_views_to_losses_are_one_graph(objectives: dict[str, Any]) -> None:
    network, batch = with_objectives(stock_network(), **objectives), make_batch(2, 4)
    generator = torch.Generator().manual_seed(0)
    views = {name: one.draw_views(batch, generator) for name, one in network.objectives.items()}
    batches = {need.patches: batch for need in network.needs.values()}
    # Raises where torch.compile would have to leave the graph.
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    assert torch.allclose(compiled(batches, views)[0], network(batches, views)[0])


def test_a_step_trains_what_is_not_frozen_and_measuring_changes_nothing() -> None:
    network = with_objectives(stock_network(), contrastive={})
    step, batch = step_of(network), loaded(make_batch(2, 4), "patients")
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    step.measure(batch)
    assert same(list(before.values()), weights(network))
    step.train(batch)
    changed = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert changed <= trained
    # Biases in front of an instance norm have a gradient of 0.
    assert {name for name in trained - changed if not name.endswith("conv.bias")} == set()


def test_one_objective_that_is_not_finite_skips_the_step_and_is_named() -> None:
    network = with_objectives(stock_network(), slem={}, restoration={})
    step, before = step_of(network), weights(network)
    batch = make_batch(2, 4)
    spoiled = loaded(batch, "plans", "patients")
    spoiled["plans/images/augmented"] = batch.images["augmented"] * torch.nan
    values = step.train(spoiled)
    assert (values["skipped"], values["skipped/slem"], values["skipped/restoration"]) == (1, 0, 1)
    assert same(before, weights(network))
    assert step.train(loaded(batch, "plans", "patients"))["skipped"] == 0
    assert not same(before, weights(network))


class TestTeacher:
    def test_only_where_it_is_needed(self) -> None:
        assert with_objectives(stock_network(), slem={}, restoration={}).teacher is None
        assert step_of(with_objectives(stock_network(), slem={})).state()["teacher"] is None

    def test_starts_as_the_loaded_weights(self) -> None:
        network = with_toys(stock_network(), toy=TAUGHT)
        with torch.no_grad():
            for parameter in network.network.parameters():
                parameter.add_(1)
        assert not same(weights(network.teacher), weights(network.network))
        step_of(network)
        assert same(weights(network.teacher), weights(network.network))

    def test_encodes_as_the_network_did_and_without_gradient(self) -> None:
        network = with_toys(stock_network(), toy=TAUGHT)
        step_of(network)
        batch = make_batch(2, 4, size=2)
        views = {"toy": network.objectives["toy"].draw_views(batch, torch.Generator())}
        own = network.encode(views)["toy"]["whole"]
        with torch.no_grad():
            for parameter in network.network.parameters():
                parameter.mul_(0.5)
        features = network.encode(views)["toy"]
        taught, changed = features["taught"], features["whole"]
        assert list(taught.decoder) == [-2]
        for ours, before, after in (
            *zip(taught.encoder, own.encoder, changed.encoder, strict=True),
            (taught.decoder[-2], own.decoder[-2], changed.decoder[-2]),
        ):
            torch.testing.assert_close(ours, before)
            assert not torch.allclose(ours, after)
            assert not ours.requires_grad
            assert after.requires_grad
        assert not any(parameter.requires_grad for parameter in network.teacher.parameters())

    def test_follows_through_its_objective_alone(self) -> None:
        network = with_toys(stock_network(), toy=TAUGHT)
        step, before = step_of(network), weights(network.network)
        step.progress = 0.25
        step.train(loaded(make_batch(2, 4, size=2), "plans"))
        assert network.objectives["toy"].followed == [0.25]
        after = weights(network.network)
        assert not same(before, after)
        for old, new, own in zip(before, after, network.teacher.parameters(), strict=True):
            torch.testing.assert_close(own, (old + new) / 2)
        step.measure(loaded(make_batch(2, 4, size=2), "plans"))
        assert network.objectives["toy"].followed == [0.25]

    def test_goes_on_where_it_was(self) -> None:
        batches = [loaded(make_batch(2, 4, size=2), "plans")] * 3
        step = step_of(with_toys(stock_network(), toy=TAUGHT))
        for batch in batches:
            step.train(batch)
        resumed = step_of(with_toys(stock_network(), toy=TAUGHT))
        resumed.network.network.load_state_dict(step.network.network.state_dict())
        # A file would hold a copy.
        resumed.load_state(deepcopy(step.state()))
        assert same(weights(step.network), weights(resumed.network))
        assert not same(weights(step.network.teacher), weights(step.network.network))
        for one in (step, resumed):
            one.train(batches[0])
        assert same(weights(step.network), weights(resumed.network))
