import itertools
import math

import numpy as np
import pytest

from nnssl_plugin.evaluation.surface_elements import AROUND, _areas, surface_elements
from tests.test_surface_distance import SPACING, blobs


def box(lengths: tuple[int, int, int], margin: int = 2) -> np.ndarray:
    mask = np.zeros([length + 2 * margin for length in lengths], bool)
    mask[tuple(slice(margin, margin + length) for length in lengths)] = True
    return mask


def test_area_of_a_box_is_that_of_its_bevelled_faces_edges_and_vertices() -> None:
    """Analytic: whole faces inside, half a face's diagonal at edges, a triangle at vertices."""
    lengths = (4, 3, 5)
    positions, areas = surface_elements(box(lengths), SPACING)
    assert len(positions) == 5 * 4 * 6 - 3 * 2 * 4
    expected = 0.0
    for axis in range(3):
        (n, s), (m, t) = ((lengths[a], SPACING[a]) for a in range(3) if a != axis)
        expected += 2 * (n - 1) * (m - 1) * s * t
        expected += 4 * (lengths[axis] - 1) * SPACING[axis] * math.hypot(s, t) / 2
    a, b, c = SPACING
    expected += 8 * math.hypot(a * b, b * c, a * c) / 8
    assert areas.sum() == pytest.approx(expected, rel=1e-12)
    # From the outer corner of the first voxel to that of the last.
    np.testing.assert_allclose(positions.min(axis=0), np.multiply(1.5, SPACING))
    np.testing.assert_allclose(positions.max(axis=0), np.multiply(np.add(1.5, lengths), SPACING))


@pytest.mark.parametrize("spacing", [(1, 1, 1), SPACING])
def test_areas_of_all_neighbourhoods_are_deepminds(spacing: tuple[float, ...]) -> None:
    tables = pytest.importorskip("surface_distance.lookup_tables")
    theirs = tables.create_table_neighbour_code_to_surface_area(spacing)
    bits = tables.ENCODE_NEIGHBOURHOOD_3D_KERNEL
    codes = [sum(int(bits[o]) for bit, o in enumerate(AROUND) if code >> bit & 1) for code in range(256)]
    np.testing.assert_allclose(_areas(spacing), theirs[codes], atol=1e-12)


def test_areas_do_not_depend_on_the_side_nor_on_mirroring() -> None:
    areas = _areas((1, 1, 1))
    np.testing.assert_allclose(areas, areas[::-1], atol=1e-12)
    mask = blobs(3)
    for axes in itertools.chain.from_iterable(itertools.combinations(range(3), n) for n in (1, 2, 3)):
        assert surface_elements(np.flip(mask, axes), SPACING)[1].sum() == pytest.approx(
            surface_elements(mask, SPACING)[1].sum(), rel=1e-12
        )


@pytest.mark.parametrize("seed", range(3))
def test_elements_are_the_corners_between_inside_and_outside(seed: int) -> None:
    mask = blobs(seed, (5, 6, 7))
    assert mask[0].any(), "something touches the edge of the image"
    padded = np.pad(mask, 1)
    expected = [
        tuple((np.array(corner) - 0.5) * SPACING)
        for corner in np.ndindex(6, 7, 8)
        if 0 < padded[tuple(slice(c, c + 2) for c in corner)].sum() < 8
    ]
    np.testing.assert_allclose(sorted(map(tuple, surface_elements(mask, SPACING)[0])), sorted(expected))


@pytest.mark.parametrize("axis", range(3))
def test_one_slice_has_a_contour_and_no_faces(axis: int) -> None:
    """Analytic: a square of four by three pixels of 2 × 0.5 mm, cut at its vertices; the slice is 7 mm thick."""
    square = np.zeros((8, 9), bool)
    square[2:6, 3:6] = True
    spacing = np.insert([2.0, 0.5], axis, 7.0)
    positions, areas = surface_elements(np.expand_dims(square, axis), spacing)
    assert len(positions) == 5 * 4 - 3 * 2
    assert areas.sum() / 7 == pytest.approx(2 * (3 * 2.0 + 2 * 0.5) + 4 * math.hypot(1.0, 0.25))
    assert np.ptp(positions[:, axis]) == 0


def test_nothing_has_no_surface() -> None:
    positions, areas = surface_elements(np.zeros((3, 4, 5), bool), SPACING)
    assert positions.shape == (0, 3)
    assert areas.shape == (0,)
