import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.objectives.simclr import SimCLR, SimCLRSettings
from tests.batches import make_batch, network_shape


def objective(axes: int) -> SimCLR:
    torch.manual_seed(0)
    return SimCLR(SimCLRSettings(), network_shape(axes, 3))


def nt_xent(embeddings: Tensor, temperature: float) -> Tensor:
    """The paper's algorithm 1: views 2k − 1 and 2k are the pair, every other view is a negative."""
    half = len(embeddings) // 2
    similarity = embeddings @ embeddings.T / temperature
    similarity.fill_diagonal_(-torch.inf)
    partner = torch.cat([torch.arange(half, 2 * half), torch.arange(half)])
    return F.cross_entropy(similarity, partner)


@pytest.mark.parametrize("axes", [2, 3])
def test_loss_is_nt_xent_of_two_crops(axes: int) -> None:
    batch = make_batch(axes, 3)
    task = objective(axes)
    views = task.draw_views(batch, torch.Generator())
    assert batch.second is not None
    assert views.images["first"] is batch.images["augmented"]
    assert views.images["second"] is batch.second.images["augmented"]
    bottleneck = {name: Features([torch.randn(6, 16, *[4] * axes)]) for name in ("first", "second")}
    embeddings = torch.cat([task.embed(features) for features in bottleneck.values()])
    result = task(bottleneck, views, batch)
    torch.testing.assert_close(result.loss, nt_xent(embeddings.detach(), 0.5))


def test_crops_of_one_patient_are_never_negatives() -> None:
    batch = make_batch(2, 3, size=4)
    batch.patient[:] = torch.tensor([0, 0, 1, 1])
    task = objective(2)
    same = Features([torch.ones(4, 16, 4, 4)])
    loss = task({"first": same, "second": same}, task.draw_views(batch, torch.Generator()), batch).loss
    # A positive and the four views of the other patient, all alike.
    assert loss.item() == pytest.approx(torch.log(torch.tensor(5.0)).item(), rel=1e-5)


def test_retrieval_of_perfect_crops() -> None:
    batch = make_batch(2, 3)
    task = objective(2)
    same = Features([torch.randn(6, 16, 1, 1)])
    metrics = task({"first": same, "second": same}, task.draw_views(batch, torch.Generator()), batch).metrics
    assert metrics["retrieval"] == 1
    assert metrics["retrieval_chance"].item() == pytest.approx(1 / 6)
