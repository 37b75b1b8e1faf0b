import pytest
import torch
from torch import Tensor, nn

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import Features, Views
from nnssl_plugin.objectives.puzzle import MultimodalPuzzle, PuzzleSettings
from nnssl_plugin.objectives.tiles import cut_tiles, join_tiles
from tests.batches import make_batch, network_shape


def objective(axes: int) -> MultimodalPuzzle:
    torch.manual_seed(0)
    return MultimodalPuzzle(PuzzleSettings(), network_shape(axes, 3))


def drawn(axes: int, batch: PretrainingBatch) -> tuple[MultimodalPuzzle, Views]:
    task = objective(axes)
    return task, task.draw_views(batch, torch.Generator().manual_seed(0))


def scored(task: MultimodalPuzzle, views: Views, batch: PretrainingBatch, scores: Tensor) -> object:
    """The result where the head says `scores`, `[B, T, T]`."""
    task.pool, task.place = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    return task({"puzzle": Features([scores.transpose(1, 2)[..., None]])}, views, batch)


@pytest.mark.parametrize("axes", [2, 3])
def test_puzzle_shows_each_tile_once_in_some_modality_and_expanded_over_the_channels(axes: int) -> None:
    batch = make_batch(axes, 3, constant=True)
    # Channel c is c + 1 everywhere; tiles are told apart by the hundreds.
    task = objective(axes)
    tiles = cut_tiles(batch.images["augmented"], task.grid)
    count = tiles.shape[1]
    tiles += 100 * torch.arange(count).view(1, -1, *[1] * (axes + 1))
    batch.images["augmented"] = join_tiles(tiles, task.grid, batch.patch_size)
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    view = views.images["puzzle"]
    assert view.shape == batch.images["augmented"].shape
    assert (view == view[:, :1]).all()
    shown = cut_tiles(view, task.grid)[:, :, 0].flatten(2)
    assert (shown == shown[:, :, :1]).all(), "a tile is of one modality"
    number, modality = shown[:, :, 0] // 100, shown[:, :, 0] % 100 - 1
    assert torch.equal(number.long(), views.targets["place"])
    assert torch.equal(number.sort(dim=1).values, torch.arange(count).expand(6, -1).float())
    assert set(modality.unique().tolist()) == {0, 1, 2}
    ordered = views.targets["ordered"].flatten(2)[:, :, 0]
    assert torch.equal(ordered // 100, torch.arange(count).expand(6, -1).float())


def test_missing_modalities_are_never_shown() -> None:
    batch = make_batch(2, 3, constant=True)
    batch.present[:, 1] = False
    _, views = drawn(2, batch)
    values = cut_tiles(views.images["puzzle"], (3, 3)).unique().tolist()
    assert values == [1, 3]


@pytest.mark.parametrize("axes", [2, 3])
def test_right_matrix_has_no_error_and_no_knowledge_that_of_the_mean(axes: int) -> None:
    batch = make_batch(axes, 3)
    task, views = drawn(axes, batch)
    place = views.targets["place"]
    right = 50 * nn.functional.one_hot(place).float()
    result = scored(task, views, batch, right)
    assert result.loss.item() == pytest.approx(0, abs=1e-6)
    assert result.metrics["placed"] == 1
    nothing = scored(task, views, batch, torch.zeros_like(right))
    assert nothing.loss.item() == pytest.approx(nothing.metrics["error_chance"].item(), rel=1e-4)
    assert nothing.metrics["placed_chance"].item() == pytest.approx(1 / place.shape[1])


def test_loss_is_the_papers_definition() -> None:
    batch = make_batch(2, 3, size=2)
    task, views = drawn(2, batch)
    scores = torch.randn(2, 9, 9)
    result = scored(task, views, batch, scores)
    matrix = scores.clone()
    for _ in range(20):
        matrix = matrix - matrix.logsumexp(dim=2, keepdim=True)
        matrix = matrix - matrix.logsumexp(dim=1, keepdim=True)
    matrix = matrix.exp()
    puzzle = cut_tiles(views.images["puzzle"][:, :1], task.grid).flatten(2)
    total, values = 0.0, 0
    for b in range(2):
        for j in range(9):
            restored = sum(matrix[b, i, j] * puzzle[b, i] for i in range(9))
            wanted = views.targets["ordered"][b, j].flatten()
            total += float((restored - wanted).square().sum())
            values += wanted.numel()
    assert result.loss.item() == pytest.approx(total / values, rel=1e-4)
