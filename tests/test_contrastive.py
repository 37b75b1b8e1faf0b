from collections.abc import Callable

import pytest
import torch

from nnssl_plugin.objectives.contrastive import ContrastiveSettings, CrossModalContrast
from nnssl_plugin.objectives.pair_losses import PairLosses
from nnssl_plugin.objectives.pair_weights import WeightedPairs
from tests.batches import make_batch, network_shape, pair


def objective(axes: int, channels: int) -> CrossModalContrast:
    torch.manual_seed(0)
    return CrossModalContrast(ContrastiveSettings(), network_shape(axes, channels))


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("channels", [2, 4])
def test_views_are_the_denormalized_source_and_the_target_it_was_made_for(axes: int, channels: int) -> None:
    batch = make_batch(axes, channels)
    views = objective(axes, channels).draw_views(batch, torch.Generator().manual_seed(0))
    source, target = views.targets["source"], views.targets["target"]
    assert batch.denormalized_target is not None
    assert (source != target).all()
    for i in range(len(batch.present)):
        assert target[i] == batch.denormalized_target[i, source[i]]
        for channel in range(channels):
            assert torch.equal(views.images["source"][i, channel], batch.images["denormalized"][i, source[i]])
            assert torch.equal(views.images["target"][i, channel], batch.images["augmented"][i, target[i]])


def test_one_modality_cases_are_left_out_of_the_loss() -> None:
    batch = make_batch(2, 4)
    batch.present[2:4] = torch.tensor([True, False, False, False])
    assert batch.denormalized_target is not None
    batch.denormalized_target[2:4] = torch.arange(4)
    contrast = objective(2, 4)
    views = contrast.draw_views(batch, torch.Generator().manual_seed(0))
    bottleneck = torch.randn(12, 16, 4, 4, requires_grad=True)
    contrast(pair(bottleneck), views, batch).loss.backward()
    assert bottleneck.grad is not None
    strength = bottleneck.grad.flatten(1).abs().sum(dim=1)
    assert (strength[[2, 3, 8, 9]] == 0).all()
    assert (strength[[0, 1, 4, 5, 6, 7, 10, 11]] > 0).all()


@pytest.mark.parametrize("size", [1, 6])
def test_without_any_pair_the_loss_is_zero_and_every_parameter_has_a_gradient(size: int) -> None:
    batch = make_batch(2, 4, size=size)
    batch.present[:] = torch.tensor([True, False, False, False])
    contrast = objective(2, 4)
    views = contrast.draw_views(batch, torch.Generator().manual_seed(0))
    result = contrast(pair(torch.randn(2 * size, 16, 4, 4)), views, batch)
    result.loss.backward()
    assert result.loss.item() == 0
    assert all(parameter.grad is not None for parameter in contrast.parameters())
    assert result.metrics["retrieval"].isnan()


def test_retrieval_of_a_perfect_and_of_a_collapsed_representation() -> None:
    batch = make_batch(2, 4)
    contrast = objective(2, 4)
    views = contrast.draw_views(batch, torch.Generator().manual_seed(0))
    perfect = torch.randn(6, 16, 1, 1).repeat(2, 1, 1, 1)
    metrics = contrast(pair(perfect), views, batch).metrics
    assert metrics["retrieval"] == 1
    assert metrics["retrieval_chance"].item() == pytest.approx(1 / 6)
    assert metrics["alignment"].item() == pytest.approx(0, abs=1e-6)
    collapsed = contrast(pair(torch.ones(12, 16, 1, 1)), views, batch).metrics
    assert collapsed["retrieval"].item() == pytest.approx(1 / 6)
    assert collapsed["uniformity"].item() == pytest.approx(0, abs=1e-5)


def test_another_reducer_makes_another_loss() -> None:
    batch = make_batch(2, 4)
    contrast = objective(2, 4)
    views = contrast.draw_views(batch, torch.Generator().manual_seed(0))
    bottleneck = torch.randn(12, 16, 4, 4)
    mean = contrast(pair(bottleneck), views, batch).loss

    class Sum(torch.nn.Module):
        def forward(
            self, pairs: PairLosses, representations: Callable[[], torch.Tensor]
        ) -> tuple[torch.Tensor, list[WeightedPairs]]:
            assert representations().shape == (12, 16)
            return (pairs.values * pairs.counted).sum(), []

    contrast.reducer = Sum()  # type: ignore[assignment]
    # Of 6 patients in two views each embedding has one positive.
    torch.testing.assert_close(contrast(pair(bottleneck), views, batch).loss, 12 * mean)
