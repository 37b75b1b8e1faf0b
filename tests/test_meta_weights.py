"""Weights of pairs that are learned on held-out cases."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import Views
from nnssl_plugin.objectives.pair_losses import PairLosses, first_with_second
from nnssl_plugin.objectives.pair_weights import PairReducer, PairWeights
from nnssl_plugin.pretraining.exact_meta_gradient import exact_meta_gradient
from nnssl_plugin.pretraining.meta_weights import MetaWeights
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from tests.batches import smooth_batch
from tests.pretraining_networks import stock_network, with_objectives

CPU = torch.device("cpu")
NAMES = ["contrastive", "local_contrastive", "simclr", "frame_contrast"]


def noisy(axes: int, size: int, seed: int) -> PretrainingBatch:
    """A batch whose views differ."""
    generator = torch.Generator().manual_seed(seed)
    batch = smooth_batch(axes, 4, size)

    def noise(image: Tensor) -> Tensor:
        return image + 0.5 * torch.randn(image.shape, generator=generator)

    assert batch.second is not None
    assert batch.frame_pair is not None
    return replace(
        batch,
        images={name: noise(image) for name, image in batch.images.items()},
        second=replace(batch.second, images={name: noise(image) for name, image in batch.second.images.items()}),
        frame_pair=noise(batch.frame_pair),
    )


def views_of(network: PretrainingNetwork, batch: PretrainingBatch) -> dict[str, Views]:
    return {name: o.draw_views(batch, torch.Generator().manual_seed(1)) for name, o in network.objectives.items()}


def network_of(name: str, axes: int, residual: bool = False, **settings: Any) -> PretrainingNetwork:
    settings = {"weighting": "meta", **({"locations": 16} if name == "local_contrastive" else {}), **settings}
    return with_objectives(stock_network(axes, residual), axes, **{name: settings})


def flat(parts: Any) -> Tensor:
    joined = torch.cat([part.flatten() for part in parts])
    return joined / joined.norm()


@pytest.mark.parametrize(("axes", "residual"), [(2, False), (2, True), (3, False)])
@pytest.mark.parametrize("name", NAMES)
def test_direction_is_that_of_two_backward_passes(name: str, axes: int, residual: bool) -> None:
    network = network_of(name, axes, residual)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    (batch, other), kind = (noisy(axes, 6, 0), noisy(axes, 4, 1)), network.needs[name].patches
    views, other_views = views_of(network, batch), views_of(network, other)
    exact = exact_meta_gradient(network, name, {kind: batch}, views, {kind: other}, other_views, rate=1e-3)
    meta = MetaWeights(network, [name], 1e-3)
    meta.update({kind: batch}, views, {kind: other}, other_views)
    found = {key: value.grad for key, value in network.named_parameters() if key in exact}
    assert set(found) == {key for key in before if "weigh." in key}
    assert float(flat(found.values()) @ flat(exact.values())) > 0.98
    # Nothing but the weights' networks changed, and these did.
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]) == ("weigh." not in key), key


@pytest.mark.parametrize("name", NAMES)
def test_without_learned_weights_the_loss_is_the_mean(name: str) -> None:
    batch = noisy(2, 4, 0)
    results = []
    for weighting in ("mean", "meta"):
        network = network_of(name, 2, weighting=weighting)
        for module in network.modules():
            if isinstance(module, PairWeights):
                for parameter in module.net[2].parameters():
                    torch.nn.init.zeros_(parameter)
        kind = network.needs[name].patches
        results.append(network({kind: batch}, views_of(network, batch))[1][name])
    assert "weight_mean" not in results[0].metrics
    assert not results[0].weighted_pairs
    # Equal weights are no weights.
    torch.testing.assert_close(results[0].loss, results[1].loss)
    assert results[1].metrics["weight_sd"].item() == pytest.approx(0, abs=1e-3)
    assert results[1].metrics["weight_mean"].item() == pytest.approx(0.5)


def test_the_loss_is_the_weighted_mean_of_the_pairs_that_count() -> None:
    torch.manual_seed(0)
    reducer = PairReducer(3, "meta")
    rows, values = torch.randn(4, 3), torch.tensor([1.0, 2.0, 1000.0])
    pairs = PairLosses(values, torch.tensor([0, 1, 2]), torch.tensor([1, 3, 3]), torch.tensor([True, True, False]))
    assert reducer.weigh is not None
    weights = reducer.weigh(rows, pairs)
    assert torch.equal(weights, reducer.weigh(rows, replace(pairs, first=pairs.second, second=pairs.first)))
    loss, _ = reducer(pairs, lambda: rows)
    assert loss.item() == pytest.approx(((weights[0] + 2 * weights[1]) / (weights[0] + weights[1])).item())
    pairs.counted[:] = False
    assert reducer(pairs, lambda: rows)[0] == 0


def test_no_optimiser_of_the_network_takes_the_weights_along() -> None:
    network = network_of("simclr", 2)
    batch = noisy(2, 4, 0)
    network({"patients": batch}, views_of(network, batch))[0].backward()
    for key, value in network.named_parameters():
        if "weigh." in key:
            assert not value.requires_grad
            assert value.grad is None


def test_an_infinite_gradient_changes_no_weight_to_nan() -> None:
    network = network_of("frame_contrast", 2)
    batch, other = noisy(2, 4, 0), noisy(2, 4, 1)
    assert other.frame_pair is not None
    other.frame_pair[0] = torch.inf
    meta = MetaWeights(network, ["frame_contrast"], 1e-3)
    meta.update({"patients": batch}, views_of(network, batch), {"patients": other}, views_of(network, other))
    assert all(value.isfinite().all() for key, value in network.named_parameters() if "weigh." in key)


def gratings(patients: Tensor, generator: torch.Generator) -> PretrainingBatch:
    """Each patient has stripes of its own width and direction; the two views of a pair have them at other places."""
    batch = smooth_batch(2, 4, len(patients))
    places = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij"))
    angle, width = 0.3 * patients, 0.4 + 0.07 * patients
    waves = torch.stack([angle.sin() * width, angle.cos() * width], dim=1) @ places.flatten(1)
    phase = 6.3 * torch.rand((len(patients), 2, 1), generator=generator)
    images = (waves[:, None] + phase).sin().view(-1, 2, 1, 32, 32).expand(-1, -1, 4, -1, -1)
    noise = 0.2 * torch.randn(images.shape, generator=generator)
    return replace(batch, frame_pair=images + noise, patient=patients.long())


def test_pairs_that_belong_together_come_to_weigh_more_than_planted_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    network = network_of("frame_contrast", 2)
    meta = MetaWeights(network, ["frame_contrast"], 0.01)
    optimizer = torch.optim.AdamW([value for value in network.parameters() if value.requires_grad], 3e-3)
    reducer = network.objectives["frame_contrast"].reducer
    kept, planted = [], []
    for step in range(150):
        batch = gratings(torch.randperm(14, generator=generator)[:8].float(), generator)
        other = gratings(14 + torch.randperm(6, generator=generator).float(), generator)
        assert batch.frame_pair is not None
        batch.frame_pair = batch.frame_pair.clone()
        batch.frame_pair[:3, 1] = batch.frame_pair[:3, 1].roll(1, 0)
        views = views_of(network, batch)
        optimizer.zero_grad()
        total, results = network({"patients": batch}, views)
        total.backward()
        optimizer.step()
        meta.update({"patients": batch}, views, {"patients": other}, views_of(network, other))
        if step >= 120:
            (pairs,) = results["frame_contrast"].weighted_pairs
            weights = reducer.weigh(pairs.representations, first_with_second(8, CPU))
            planted.append(weights[:3].mean())
            kept.append(weights[3:].mean())
    assert torch.stack(kept).mean() > torch.stack(planted).mean() + 0.1
