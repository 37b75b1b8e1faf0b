import pytest
import torch

from nnssl_plugin.networks.contextual_fusion import ContextualFusionBlock


@pytest.mark.parametrize("bottleneck", [(4, 4), (8, 8), (4, 4, 4), (7, 8, 7)])
def test_shape_and_branches(bottleneck: tuple[int, ...]) -> None:
    block = ContextualFusionBlock(8, bottleneck)
    x = torch.randn(2, 8, *bottleneck)
    assert block(x).shape == x.shape
    assert len(block.local) == (4 if min(bottleneck) >= 7 else 3)
    assert [branch.dilation[0] for branch in block.local][1:] == list(range(1, len(block.local)))


def test_without_gain_it_is_the_identity() -> None:
    block = ContextualFusionBlock(8, (4, 4), gain=0.0)
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(block(x), x)


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    block = ContextualFusionBlock(8, (8, 8))
    block(torch.randn(2, 8, 8, 8)).square().sum().backward()
    # What a norm cancels has a gradient of rounding errors.
    dead = [name for name, p in block.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-3]
    assert dead == []


def test_the_pooled_context_changes_more_than_a_constant() -> None:
    torch.manual_seed(0)
    block = ContextualFusionBlock(8, (8, 8))
    x = torch.randn(2, 8, 8, 8)
    before = block(x)
    with torch.no_grad():
        block.context.weight *= 10
    change = block(x) - before
    assert (change - change.mean(dim=(2, 3), keepdim=True)).abs().max() > 1e-2


def test_smallest_bottleneck() -> None:
    block = ContextualFusionBlock(4, (2, 2, 2))
    assert torch.isfinite(block(torch.randn(1, 4, 2, 2, 2))).all()
