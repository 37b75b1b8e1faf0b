import pytest
import torch

from nnssl_plugin.data.mosaic_axes import mosaic_axes
from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.label_space import is_injective, label_space, possible_labels
from nnssl_plugin.objectives.mosaic import block_map, compose_mosaic


@pytest.mark.parametrize(
    ("name", "channels", "size"), [("injective", 4, 24), ("injective", 5, 120), ("product", 2, 16), ("product", 3, 81)]
)
def test_labels_of_a_complete_case(name: str, channels: int, size: int) -> None:
    labels = label_space(name, channels)
    assert len({tuple(row) for row in labels.tolist()}) == len(labels)
    possible = possible_labels(labels, torch.ones(1, channels, dtype=torch.bool), name == "injective")[0]
    assert possible.sum() == size
    if name == "injective":
        assert all(len(set(row)) == 4 for row in labels[possible].tolist())


def test_an_incomplete_case_shows_as_many_different_modalities_as_it_has() -> None:
    labels = label_space("injective", 4)
    present = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 1, 0]]).bool()
    possible = possible_labels(labels, present, injective=True)
    assert possible.sum(dim=1).tolist() == [36, 14, 1]
    assert all(set(row) == {0, 1, 3} for row in labels[possible[0]].tolist())
    assert all(set(row) == {1, 2} for row in labels[possible[1]].tolist())


def test_auto_label_space_follows_the_number_of_modalities() -> None:
    assert [is_injective("auto", channels) for channels in (2, 3, 4, 5)] == [False, False, True, True]
    assert torch.equal(label_space("auto", 3), label_space("product", 3))
    assert torch.equal(label_space("auto", 4), label_space("injective", 4))
    with pytest.raises(InputError, match="four different modalities"):
        label_space("injective", 3)


@pytest.mark.parametrize(
    ("channels", "count", "distance"),
    [
        (2, 2, 4),
        (2, 4, 2),
        (2, 8, 2),
        (3, 3, 4),
        (3, 9, 3),
        (4, 4, 4),
        (4, 8, 3),
        (4, 16, 3),
        (5, 25, 3),
        (5, 30, 2),
        (6, 36, 2),
        (7, 49, 3),
    ],
)
def test_max_hamming_labels_are_far_apart_and_balanced(channels: int, count: int, distance: int) -> None:
    labels = label_space("max_hamming", channels, count)
    assert labels.shape == (count, 4)
    apart = [(a != b).sum().item() for i, a in enumerate(labels) for b in labels[:i]]
    # Singleton bound: C words can differ in four places, C² in three, C³ in two; with C = 6 no 36 differ in three.
    assert min(apart) == distance
    uses = [torch.bincount(labels[:, block], minlength=channels) for block in range(4)]
    assert all(use.max() - use.min() <= (1 if count <= channels**2 else 2) for use in uses)


def test_counts_that_cannot_be_are_refused() -> None:
    assert len(label_space("max_hamming", 3)) == 9
    with pytest.raises(InputError, match="2 to 16"):
        label_space("max_hamming", 2, 17)
    with pytest.raises(InputError, match="for label_space max_hamming, not product"):
        label_space("product", 3, 9)


@pytest.mark.parametrize(
    ("patch", "axes"), [((8, 8), (0, 1)), ((4, 16, 8), (1, 2)), ((16, 4, 8), (0, 2)), ((8, 8, 8), (1, 2))]
)
def test_mosaic_plane_is_the_largest(patch: tuple[int, ...], axes: tuple[int, int]) -> None:
    assert mosaic_axes(patch) == axes


@pytest.mark.parametrize("patch", [(8, 6), (4, 8, 6), (8, 4, 6)])
@pytest.mark.parametrize("channels", [2, 4])
def test_mosaic_and_label_are_in_bijection(patch: tuple[int, ...], channels: int) -> None:
    labels = label_space("product", channels)
    # Modality c is c everywhere, so the mosaic spells its label.
    sources = torch.arange(channels).float().view(1, -1, *[1] * len(patch)).expand(len(labels), -1, *patch)
    mosaic = compose_mosaic(sources, labels, block_map(patch))
    first, second = (axis + 2 for axis in mosaic_axes(patch))
    corners = [
        mosaic.select(second, column).select(first, row).flatten(1)[:, 0] for row in (0, -1) for column in (0, -1)
    ]
    assert torch.equal(torch.stack(corners, dim=1).long(), labels)
    assert len(torch.unique(mosaic.flatten(1), dim=0)) == len(labels)


def test_blocks_keep_their_position() -> None:
    sources = torch.arange(2 * 36).float().view(1, 2, 6, 6)
    mosaic = compose_mosaic(sources, torch.tensor([[0, 1, 1, 0]]), block_map((6, 6)))
    assert torch.equal(mosaic[0, 0, :3, :3], sources[0, 0, :3, :3])
    assert torch.equal(mosaic[0, 0, :3, 3:], sources[0, 1, :3, 3:])
    assert torch.equal(mosaic[0, 0, 3:, :3], sources[0, 1, 3:, :3])


def test_gap_has_its_width() -> None:
    blocks = block_map((4, 10, 8), gap=2)
    assert (blocks[0, :, 0] == 4).sum() == 2
    assert (blocks[0, 0, :] == 4).sum() == 2
