import pytest
import torch
from torch import Tensor

from nnssl_plugin.objectives.correspondence import places_in, sample


def crop(matrix: Tensor, offset: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Coordinates `[1, A, *P]` of a crop whose voxel u lies at `matrix @ u + offset` of the image."""
    grid = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij"))
    return (torch.einsum("ij,j...->i...", matrix, grid) + offset.view(-1, *[1] * len(shape)))[None]


@pytest.mark.parametrize("axes", [2, 3])
def test_a_turned_and_scaled_crop_is_read_at_the_place_that_was_asked_for(axes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (12, 10, 14)[:axes]
    matrix = torch.eye(axes) * 1.2 + 0.3 * torch.randn(axes, axes, generator=generator)
    coordinates = crop(matrix, torch.tensor([3.0, -2.0, 5.0][:axes]), shape)
    index = torch.stack([torch.randint(0, n, (20,), generator=generator) for n in shape], dim=1)
    positions = torch.stack([coordinates[0][(slice(None), *i)] for i in index.tolist()])[None]
    places = places_in(coordinates, positions)
    expected = 2 * index / (torch.tensor(shape) - 1) - 1
    torch.testing.assert_close(places[0], expected.float(), atol=1e-4, rtol=0)
    # The coordinates are a smooth image themselves: reading them there gives the position back.
    torch.testing.assert_close(sample(coordinates, places), positions, atol=1e-3, rtol=0)


def test_outside_is_said_by_places_beyond_one_and_read_as_zero() -> None:
    coordinates = crop(torch.eye(2), torch.zeros(2), (8, 8))
    places = places_in(coordinates, torch.tensor([[[20.0, 3.0], [3.0, 3.0]]]))
    assert places[0, 0, 0] > 1
    values = sample(torch.ones(1, 1, 8, 8), places)
    assert values[0, :, 0].tolist() == [0, 1]


def test_a_crop_without_coordinates_gives_finite_places() -> None:
    assert places_in(torch.zeros(1, 3, 8, 8, 8), torch.randn(1, 4, 3)).isfinite().all()
