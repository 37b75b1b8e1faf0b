import pytest
import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.objectives.restoration import MosaicRestoration, RestorationSettings
from tests.batches import make_batch, network_shape


def objective(axes: int = 2, channels: int = 4, **settings: object) -> MosaicRestoration:
    return MosaicRestoration(RestorationSettings(**settings), network_shape(axes, channels, decoder=channels))  # type: ignore[arg-type]


def restores(objective: MosaicRestoration, wanted: Tensor) -> dict[str, Features]:
    """Features from which the output layer makes `wanted`."""
    with torch.no_grad():
        objective.output.weight.copy_(torch.eye(wanted.shape[1]).view_as(objective.output.weight))
        objective.output.bias.zero_()
    return {"partial": Features([], {-1: wanted})}


@pytest.mark.parametrize("axes", [2, 3])
def test_view_shows_whole_cubes_of_each_modality_in_its_own_channel(axes: int) -> None:
    batch = make_batch(axes, 4, size=32)
    views = objective(axes, cube_size=8, shown=0.3).draw_views(batch, torch.Generator().manual_seed(0))
    visible = views.targets["visible"]
    assert torch.equal(views.images["partial"], torch.where(visible, batch.images["augmented"], torch.zeros(())))
    cubes = visible
    for axis in range(2, 2 + axes):
        cubes = cubes.unfold(axis, 8, 8)
    cubes = cubes.flatten(2 + axes).float()
    assert ((cubes.mean(dim=-1) == 0) | (cubes.mean(dim=-1) == 1)).all(), "a cube is shown whole or not at all"
    assert cubes.mean().item() == pytest.approx(0.3, abs=0.03)
    channels = cubes[..., 0].flatten(2)
    assert not torch.equal(channels[:, 0], channels[:, 1]), "modalities are hidden independently"


def test_patch_not_divisible_by_the_cube() -> None:
    batch = make_batch(2, 4)
    visible = objective(cube_size=20).draw_views(batch, torch.Generator().manual_seed(0)).targets["visible"]
    assert visible.shape == batch.images["augmented"].shape


def test_loss_is_the_weighted_mean_of_the_definition() -> None:
    batch = make_batch(2, 4)
    batch.foreground[:, :, :, :5] = False
    batch.present[0, 1] = False
    task = objective(shown_weight=0.25)
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    restored = torch.randn_like(batch.images["clean"])
    expected = []
    for b in range(len(batch.images["clean"])):
        total = weight = 0.0
        for c in range(4):
            if not batch.present[b, c]:
                continue
            error = (restored[b, c] - batch.images["clean"][b, c]).square()
            w = torch.where(views.targets["visible"][b, c], 0.25, 1.0) * batch.foreground[b, 0]
            total += float((error * w).sum())
            weight += float(w.sum())
        expected.append(total / weight)
    result = task(restores(task, restored), views, batch)
    assert result.loss.item() == pytest.approx(sum(expected) / len(expected), rel=1e-5)
    perfect = task(restores(task, batch.images["clean"]), views, batch)
    assert perfect.loss.item() == pytest.approx(0, abs=1e-6)
    mean = make_constant_guess(batch)
    guessed = task(restores(task, mean), views, batch).metrics
    assert guessed["hidden_error"].item() == pytest.approx(guessed["hidden_error_chance"].item(), rel=1e-4)


def make_constant_guess(batch: PretrainingBatch) -> Tensor:
    guess = torch.zeros_like(batch.images["clean"])
    for b in range(len(batch.images["clean"])):
        for c in range(4):
            guess[b, c] = batch.images["clean"][b, c][batch.foreground[b, 0]].mean()
    return guess


def test_background_and_missing_modalities_do_not_count() -> None:
    batch = make_batch(2, 4)
    batch.foreground[:, :, 16:] = False
    batch.present[:, 2] = False
    task = objective()
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    restored = torch.zeros_like(batch.images["clean"]).requires_grad_()
    task(restores(task, restored), views, batch).loss.backward()
    assert restored.grad is not None
    assert (restored.grad[:, :, 16:] == 0).all()
    assert (restored.grad[:, 2] == 0).all()
    assert (restored.grad[:, [0, 1, 3], :16] != 0).any()


def test_empty_foreground_costs_nothing() -> None:
    batch = make_batch(3, 4, size=1)
    batch.foreground[:] = False
    task = objective(3)
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    assert task(restores(task, torch.ones_like(batch.images["clean"])), views, batch).loss.item() == 0
