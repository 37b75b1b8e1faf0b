import pytest
import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.inpainting import Inpainting
from nnssl_plugin.objectives.mae import MAE, MAESettings
from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.objectives.supervoxel import SupervoxelInpainting, SupervoxelSettings
from tests.batches import make_batch, network_shape


def mae(axes: int = 2, **settings: object) -> MAE:
    return MAE(MAESettings(**settings), network_shape(axes, 4, decoder=4))  # type: ignore[arg-type]


def supervoxel(axes: int = 2, **settings: object) -> SupervoxelInpainting:
    return SupervoxelInpainting(SupervoxelSettings(**settings), network_shape(axes, 4, decoder=4))  # type: ignore[arg-type]


def restores(objective: Inpainting, wanted: Tensor) -> dict[str, Features]:
    """Features from which the output layer makes `wanted`."""
    with torch.no_grad():
        objective.output.weight.copy_(torch.eye(wanted.shape[1]).view_as(objective.output.weight))
        objective.output.bias.zero_()
    return {"partial": Features([], {-1: wanted})}


@pytest.mark.parametrize("axes", [2, 3])
def test_mae_hides_whole_cubes_of_all_modalities_together(axes: int) -> None:
    batch = make_batch(axes, 4, size=64)
    views = mae(axes, cube_size=8).draw_views(batch, torch.Generator().manual_seed(0))
    visible = views.targets["visible"]
    assert torch.equal(views.images["partial"], torch.where(visible, batch.images["augmented"], torch.zeros(())))
    assert (visible == visible[:, :1]).all()
    cubes = visible[:, 0]
    for axis in range(1, 1 + axes):
        cubes = cubes.unfold(axis, 8, 8)
    share = cubes.flatten(1 + axes).float().mean(dim=-1)
    assert ((share == 0) | (share == 1)).all()
    assert share.mean().item() == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("axes", [2, 3])
def test_supervoxels_are_hidden_whole_in_all_modalities(axes: int) -> None:
    batch = make_batch(axes, 4, size=64)
    visible = supervoxel(axes).draw_views(batch, torch.Generator().manual_seed(0)).targets["visible"]
    assert (visible == visible[:, :1]).all()
    assert batch.supervoxels is not None
    shares = []
    for b in range(64):
        for number in batch.supervoxels[b].unique():
            shares.append(float(visible[b, 0][batch.supervoxels[b, 0] == number].float().mean()))
    assert set(shares) == {0.0, 1.0}
    assert sum(shares) / len(shares) == pytest.approx(0.7, abs=0.05)
    assert not torch.equal(visible[0], visible[1]), "drawn apart for each patch"


def test_supervoxels_of_a_large_case_are_told_apart() -> None:
    batch = make_batch(2, 4, size=2)
    batch.supervoxels = torch.stack([torch.arange(32 * 32).view(1, 32, 32) + 50_000] * 2)
    visible = supervoxel().draw_views(batch, torch.Generator().manual_seed(0)).targets["visible"]
    assert visible[0, 0].float().mean().item() == pytest.approx(0.7, abs=0.05)
    assert not (visible[0, 0, :, :-1] == visible[0, 0, :, 1:]).all()


@pytest.mark.parametrize("make", [mae, supervoxel])
def test_loss_is_the_squared_error_of_hidden_foreground_against_the_clean_patch(make: type[Inpainting]) -> None:
    batch = make_batch(2, 4, size=3)
    batch.images["clean"] = batch.images["augmented"] * 2 + 1
    batch.foreground[:, :, :, :5] = False
    batch.present[0, 1] = False
    task = make()  # type: ignore[call-arg]
    views = task.draw_views(batch, torch.Generator().manual_seed(3))
    restored = torch.randn_like(batch.images["clean"]).requires_grad_()
    expected = []
    for b in range(3):
        total = count = 0.0
        for c in range(4):
            if batch.present[b, c]:
                counted = ~views.targets["visible"][b, c] & batch.foreground[b, 0]
                total += float((restored.detach()[b, c] - batch.images["clean"][b, c]).square()[counted].sum())
                count += float(counted.sum())
        expected.append(total / count if count else 0.0)
    assert all(expected)
    result = task(restores(task, restored), views, batch)
    assert result.loss.item() == pytest.approx(sum(expected) / 3, rel=1e-5)
    result.loss.backward()
    assert restored.grad is not None
    assert (restored.grad[views.targets["visible"]] == 0).all()
    assert (restored.grad[:, :, :, :5] == 0).all()
    assert (restored.grad[0, 1] == 0).all()
    perfect = task(restores(task, batch.images["clean"]), views, batch)
    assert perfect.loss.item() == pytest.approx(0, abs=1e-6)
    guess = task(restores(task, constant_guess(batch)), views, batch)
    assert guess.loss.item() == pytest.approx(guess.metrics["hidden_error_chance"].item(), rel=1e-4)


def constant_guess(batch: PretrainingBatch) -> Tensor:
    images = batch.images["clean"]
    guess = torch.zeros_like(images)
    for b in range(len(images)):
        for c in range(4):
            guess[b, c] = images[b, c][batch.foreground[b, 0]].mean()
    return guess
