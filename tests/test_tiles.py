from itertools import permutations

import pytest
import torch

from nnssl_plugin.objectives.permutations import max_hamming_permutations
from nnssl_plugin.objectives.sinkhorn import sinkhorn
from nnssl_plugin.objectives.tiles import cut_tiles, join_tiles, pool_to_tiles, reorder_tiles, tile_grid


@pytest.mark.parametrize("patch", [(12, 9), (8, 6, 4)])
def test_tiles_are_cut_in_order_and_joined_again(patch: tuple[int, ...]) -> None:
    images = torch.randn(2, 3, *patch)
    grid = tile_grid(patch)
    tiles = cut_tiles(images, grid)
    assert grid == ((3, 3) if len(patch) == 2 else (2, 2, 2))
    assert tiles.shape == (2, len(tiles[0]), 3, *(size // count for size, count in zip(patch, grid, strict=True)))
    last = tuple(slice(-size, None) for size in tiles.shape[3:])
    assert torch.equal(tiles[:, -1], images[(slice(None), slice(None), *last)])
    second = tuple(slice(0, s) for s in tiles.shape[3:-1])
    width = tiles.shape[-1]
    assert torch.equal(tiles[:, 1], images[(slice(None), slice(None), *second, slice(width, 2 * width))])
    assert torch.equal(join_tiles(tiles, grid, patch), images)


def test_rim_that_belongs_to_no_tile_is_empty() -> None:
    images = torch.ones(1, 1, 11, 9)
    joined = join_tiles(cut_tiles(images, (3, 3)), (3, 3), (11, 9))
    assert joined.shape == images.shape
    assert (joined[:, :, :9] == 1).all()
    assert (joined[:, :, 9:] == 0).all()


def test_pooled_features_and_tiles_have_the_same_places() -> None:
    images = torch.randn(1, 2, 12, 12)
    cells = pool_to_tiles((3, 3))(images).flatten(2).transpose(1, 2)
    torch.testing.assert_close(cells, cut_tiles(images, (3, 3)).flatten(3).mean(dim=3))


def test_order_says_which_tile_stands_at_a_place() -> None:
    tiles = torch.arange(8).view(2, 4, 1)
    order = torch.tensor([[3, 0, 1, 2], [1, 0, 3, 2]])
    assert reorder_tiles(tiles, order)[..., 0].tolist() == [[3, 0, 1, 2], [5, 4, 7, 6]]


@pytest.mark.parametrize(("tiles", "count"), [(4, 10), (8, 31), (9, 31)])
def test_permutations_start_with_the_identity_and_differ_as_much_as_the_greedy_choice_can(
    tiles: int, count: int
) -> None:
    chosen = max_hamming_permutations(tiles, count)
    assert chosen.shape == (count, tiles)
    assert chosen[0].tolist() == list(range(tiles))
    assert (chosen.sort(dim=1).values == torch.arange(tiles)).all()
    assert len({tuple(row) for row in chosen.tolist()}) == count
    distance = (chosen[:, None] != chosen[None, :]).sum(dim=2)
    # The first ones differ in every place, as no two of more than `tiles` permutations could all do.
    assert (distance[1:3, 0] == tiles).all()
    random = torch.stack([torch.randperm(tiles) for _ in range(count)])
    apart = ~torch.eye(count, dtype=torch.bool)
    assert distance[apart].float().mean() > (random[:, None] != random[None, :]).sum(dim=2)[apart].float().mean()


def test_next_permutation_is_the_farthest_of_all_on_average() -> None:
    chosen = max_hamming_permutations(4, 6)
    every = torch.tensor(list(permutations(range(4))))
    for k in range(1, 6):
        taken = (every[:, None] == chosen[None, :k]).all(dim=2).any(dim=1)
        distance = (every[:, None] != chosen[None, :k]).sum(dim=2).sum(dim=1).masked_fill(taken, -1)
        assert (chosen[k] != chosen[:k]).sum() == distance.max()


def test_fewer_permutations_than_asked_for() -> None:
    assert max_hamming_permutations(4, 31).shape == (24, 4)


def test_sinkhorn_is_doubly_stochastic_and_finds_a_clear_permutation() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 9, 9, requires_grad=True)
    soft = sinkhorn(scores)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(3, 9))
    torch.testing.assert_close(soft.sum(dim=2), torch.ones(3, 9), atol=1e-4, rtol=0)
    order = torch.randperm(9)
    clear = sinkhorn(20 * torch.eye(9)[order][None] + 2 * torch.randn(1, 9, 1) + 2 * torch.randn(1, 1, 9))
    torch.testing.assert_close(clear[0], torch.eye(9)[order], atol=1e-3, rtol=0)
    torch.testing.assert_close(sinkhorn(torch.zeros(1, 4, 4)), torch.full((1, 4, 4), 0.25))
