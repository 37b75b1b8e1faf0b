import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from nnssl_plugin.evaluation.lesionwise import WORST_HD95_MM
from nnssl_plugin.evaluation.mask import diagonal_mm
from nnssl_plugin.evaluation.metrics import brats_metrics, chaos_metrics, region_metrics
from nnssl_plugin.evaluation.surface_distance import hd95, hd95_of_voxel_centres, nearest_distances
from nnssl_plugin.evaluation.surface_elements import surface_elements
from nnssl_plugin.evaluation.surface_voxels import surface_voxels

SPACING = (3.0, 0.8, 1.25)


def blobs(seed: int, shape=(12, 22, 18), margin: int = 0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    mask = noise > np.quantile(noise, 0.8)
    if margin:
        inside = np.zeros(shape, bool)
        inside[(slice(margin, -margin),) * len(shape)] = True
        mask &= inside
    return mask


def brute_surface(mask: np.ndarray, spacing=SPACING, image_edge: bool = True) -> np.ndarray:
    """By the definition, voxel by voxel; of two dimensions or three."""
    points = []
    for index in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                other = index.copy()
                other[axis] += step
                if (not mask[tuple(other)]) if 0 <= other[axis] < mask.shape[axis] else image_edge:
                    points.append(tuple(index * np.array(spacing)))
    return np.array(sorted(set(points)))


def brute_distances(ours: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(axis=-1))
    return matrix.min(axis=1), matrix.min(axis=0)


def brute_hd95(prediction: np.ndarray, reference: np.ndarray, spacing=SPACING) -> float:
    """By the definition: add up area from the nearest element on until 95 % of it are there."""
    (ours, our_areas), (theirs, their_areas) = (surface_elements(mask, spacing) for mask in (prediction, reference))
    directed = []
    for distances, areas in zip(brute_distances(ours, theirs), (our_areas, their_areas), strict=True):
        covered = 0.0
        for distance, area in sorted(zip(distances.tolist(), areas.tolist(), strict=True)):
            covered += area
            if covered >= 0.95 * math.fsum(areas):
                directed.append(distance)
                break
    return max(directed)


def deepminds_hd95(prediction: np.ndarray, reference: np.ndarray, spacing=SPACING) -> float:
    """What the code of BraTS 2023 calls; in two dimensions or three."""
    library = pytest.importorskip("surface_distance")
    if not hasattr(ndimage, "filters"):
        pytest.skip("surface-distance 0.1 needs scipy.ndimage.filters")
    return library.compute_robust_hausdorff(library.compute_surface_distances(reference, prediction, spacing), 95)


@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force(seed: int) -> None:
    prediction, reference = blobs(seed), blobs(seed + 100)
    assert hd95(prediction, reference, SPACING) == pytest.approx(brute_hd95(prediction, reference), abs=1e-9)
    surfaces = brute_surface(prediction), brute_surface(reference)
    found = surface_voxels(prediction, SPACING, image_edge=True)
    np.testing.assert_allclose(sorted(map(tuple, found)), surfaces[0], atol=1e-12)
    expected = max(np.percentile(distances, 95) for distances in brute_distances(*surfaces))
    assert hd95_of_voxel_centres(prediction, reference, SPACING) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(10))
def test_hd95_is_deepminds(seed: int) -> None:
    prediction, reference = blobs(seed), blobs(seed + 50)
    expected = deepminds_hd95(prediction, reference)
    assert hd95(prediction, reference, SPACING) == pytest.approx(expected, abs=1e-9)
    assert abs(expected - hd95_of_voxel_centres(prediction, reference, SPACING)) > 0.1


@pytest.mark.parametrize("seed", range(4))
def test_the_edge_of_the_image_is_no_surface_in_chaos(seed: int) -> None:
    prediction, reference = blobs(seed), blobs(seed + 100)
    surfaces = [brute_surface(mask, image_edge=False) for mask in (prediction, reference)]
    for mask, surface in zip((prediction, reference), surfaces, strict=True):
        assert len(surface) < len(brute_surface(mask))
        assert len(surface) == (mask ^ ndimage.binary_erosion(mask, border_value=1)).sum()
    both = np.concatenate(brute_distances(*surfaces))
    scores = chaos_metrics(prediction, reference, SPACING)
    assert scores["ASSD"] == pytest.approx(both.mean(), abs=1e-9)
    assert scores["MSSD"] == pytest.approx(both.max(), abs=1e-9)


def test_an_organ_cut_by_the_image_is_as_far_as_its_cut_is() -> None:
    """Analytic: a block through the image, and the same one, two voxels longer; with the image's sides it were less."""
    prediction, reference = np.zeros((2, 6, 7, 20), bool)
    reference[..., :9] = prediction[..., :11] = True
    scores = chaos_metrics(prediction, reference, SPACING)
    assert scores["ASSD"] == scores["MSSD"] == pytest.approx(2 * 1.25)


def test_a_mask_that_fills_the_image_has_no_surface_in_chaos() -> None:
    full, half = np.ones((4, 5, 6), bool), np.ones((4, 5, 6), bool)
    half[2:] = False
    assert chaos_metrics(full, full, SPACING) == {"Dice": 1, "RAVD": 0, "ASSD": 0, "MSSD": 0}
    for pair in ((full, half), (half, full)):
        assert chaos_metrics(*pair, SPACING)["MSSD"] == pytest.approx(math.hypot(4 * 3.0, 5 * 0.8, 6 * 1.25))


class TestOneSlice:
    """An axis of length 1 is no dimension, whichever it is."""

    @pytest.mark.parametrize("axis", range(3))
    @pytest.mark.parametrize("seed", range(3))
    def test_both_kinds_of_hd95_are_those_of_the_contour(self, axis: int, seed: int) -> None:
        flat, (prediction, reference) = (0.8, 1.25), (blobs(seed, (30, 40)), blobs(seed + 50, (30, 40)))
        pair = [np.expand_dims(mask, axis) for mask in (prediction, reference)]
        spacing = tuple(np.insert(flat, axis, 4.0))
        assert hd95(*pair, spacing) == pytest.approx(deepminds_hd95(prediction, reference, flat), abs=1e-9)
        contours = [brute_surface(mask, flat) for mask in (prediction, reference)]
        expected = max(np.percentile(distances, 95) for distances in brute_distances(*contours))
        assert hd95_of_voxel_centres(*pair, spacing) == pytest.approx(expected, abs=1e-9)
        pooled = np.concatenate(
            brute_distances(*(brute_surface(mask, flat, image_edge=False) for mask in (prediction, reference)))
        )
        assert chaos_metrics(*pair, spacing)["ASSD"] == pytest.approx(pooled.mean(), abs=1e-9)

    def test_a_hole_is_seen(self) -> None:
        """Where every pixel of a slice was surface, this was 2: most pixels of the whole are pixels of the ring."""
        whole = np.zeros((1, 40, 40), bool)
        whole[:, 5:35, 5:35] = True
        ring = whole.copy()
        ring[:, 15:25, 15:25] = False
        # A quarter of the ring's contour is the hole's, ten pixels inside; the centres of its pixels are nine inside.
        assert hd95(ring, whole, (1, 1, 1)) == 10
        assert hd95_of_voxel_centres(ring, whole, (1, 1, 1)) == 9
        assert hd95(ring, ring, (1, 1, 1)) == 0

    def test_the_thickness_of_the_slice_does_not_count(self) -> None:
        prediction, reference = blobs(0, (1, 30, 40)), blobs(1, (1, 30, 40))
        thin, thick = (region_metrics(prediction, reference, (z, 0.8, 1.25)) for z in (1.0, 999.0))
        assert thin == pytest.approx(thick, abs=1e-9)
        assert diagonal_mm(prediction, (999.0, 0.8, 1.25)) == pytest.approx(math.hypot(30 * 0.8, 40 * 1.25))

    def test_a_lesion_of_one_slice_in_a_volume_keeps_its_faces(self) -> None:
        lesion, image = np.zeros((2, 9, 30, 30), bool)
        lesion[4, 5:15, 5:15] = True
        image[5, 5:15, 5:15] = True
        assert brats_metrics(image, lesion, (3, 1, 1))["Lesion-wise HD95"] == pytest.approx(
            deepminds_hd95(image, lesion, (3, 1, 1))
        )

    def test_one_voxel_or_one_row_is_scored_too(self) -> None:
        one = np.ones((1, 1, 1), bool)
        assert region_metrics(one, one, SPACING)["HD95"] == 0
        row, other = np.zeros((2, 1, 1, 9), bool)
        row[..., 1:4] = other[..., 1:6] = True
        assert region_metrics(row, other, SPACING)["HD95"] == pytest.approx(2 * 1.25)


def sitk_image(mask: np.ndarray, spacing=SPACING) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(spacing[::-1])
    return image


def sitk_distances(prediction: np.ndarray, reference: np.ndarray, spacing=SPACING) -> tuple[np.ndarray, np.ndarray]:
    """On SimpleITK's contours and exact distance map."""
    contours = [sitk.LabelContour(sitk_image(mask, spacing)) for mask in (prediction, reference)]
    maps = [
        sitk.GetArrayFromImage(
            sitk.Abs(
                sitk.SignedMaurerDistanceMap(c, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
            )
        )
        for c in contours
    ]
    surfaces = [sitk.GetArrayFromImage(contour) > 0 for contour in contours]
    return maps[1][surfaces[0]], maps[0][surfaces[1]]


@pytest.mark.parametrize("seed", range(3))
def test_equals_simpleitk(seed: int) -> None:
    prediction, reference = blobs(seed, (16, 40, 36), margin=2), blobs(seed + 50, (16, 40, 36), margin=2)
    surfaces = (surface_voxels(mask, SPACING, image_edge=True) for mask in (prediction, reference))
    for ours, theirs in zip(nearest_distances(*surfaces), sitk_distances(prediction, reference), strict=True):
        np.testing.assert_allclose(np.sort(ours), np.sort(theirs), atol=1e-4)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(sitk_image(reference), sitk_image(prediction))
    assert region_metrics(prediction, reference, SPACING)["Dice"] == pytest.approx(
        overlap.GetDiceCoefficient(), abs=1e-6
    )


def test_two_cubes_along_the_thick_axis() -> None:
    """Analytic: a cube and the same cube two slices away."""
    prediction, reference = np.zeros((2, 12, 12, 12), bool)
    prediction[2:5, 3:8, 3:8] = True
    reference[4:7, 3:8, 3:8] = True
    for measure in (hd95, hd95_of_voxel_centres):
        assert measure(prediction, reference, SPACING) == pytest.approx(6.0)
        assert measure(prediction, prediction, SPACING) == 0
    assert chaos_metrics(prediction, reference, SPACING)["MSSD"] == pytest.approx(6.0)


def test_single_voxels_and_full_images() -> None:
    one, other = np.zeros((2, 5, 5, 5), bool)
    one[0, 0, 0] = other[4, 4, 4] = True
    assert hd95_of_voxel_centres(one, other, SPACING) == pytest.approx(math.dist((0, 0, 0), (12, 3.2, 5)))
    # Each of a voxel's eight corners has an eighth of its area, so the one that is farthest counts.
    assert hd95(one, other, SPACING) == pytest.approx(math.dist((0, 0, 0), (12, 3.2, 5)))
    full = np.ones((4, 4, 4), bool)
    assert len(surface_voxels(full, (1, 1, 1), image_edge=True)) == 4**3 - 2**3
    assert len(surface_voxels(full, (1, 1, 1), image_edge=False)) == 0


EMPTY, SOME = np.zeros((6, 7, 8), bool), np.zeros((6, 7, 8), bool)
SOME[2:4, 2:5, 3:6] = True
DIAGONAL = math.sqrt((6 * 3.0) ** 2 + (7 * 0.8) ** 2 + (8 * 1.25) ** 2)


@pytest.mark.parametrize(
    ("prediction", "reference", "brats", "chaos"),
    [
        (EMPTY, EMPTY, (1, 0, 0, 1, 1, 1, 0), (1, 0, 0, 0)),
        (SOME, EMPTY, (0, 374, 374, 0, 1 - 18 / 336, 0, 374), (0, math.nan, DIAGONAL, DIAGONAL)),
        (EMPTY, SOME, (0, 374, 374, 0, 1, 0, 374), (0, 100, DIAGONAL, DIAGONAL)),
        (SOME, SOME, (1, 0, 0, 1, 1, 1, 0), (1, 0, 0, 0)),
    ],
)
def test_empty_masks(prediction, reference, brats: tuple, chaos: tuple) -> None:
    # 18 voxels of 3 mm³ are 54 mm³: a lesion that counts.
    assert WORST_HD95_MM == 374
    names = (
        "Dice",
        "HD95",
        "HD95 of voxel centres",
        "Sensitivity",
        "Specificity",
        "Lesion-wise Dice",
        "Lesion-wise HD95",
    )
    assert brats_metrics(prediction, reference, SPACING) == pytest.approx(dict(zip(names, brats, strict=True)))
    regions = region_metrics(prediction, reference, SPACING)
    one_empty = prediction.any() != reference.any()
    assert regions["HD95"] == regions["HD95 of voxel centres"] == pytest.approx(DIAGONAL if one_empty else 0)
    assert diagonal_mm(SOME, SPACING) == pytest.approx(DIAGONAL)
    scores = chaos_metrics(prediction, reference, SPACING)
    assert scores == pytest.approx(dict(zip(("Dice", "RAVD", "ASSD", "MSSD"), chaos, strict=True)), nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_sensitivity_specificity_and_volumes_equal_brute_force(seed: int) -> None:
    prediction, reference = blobs(seed, (5, 6, 7)), blobs(seed + 9, (5, 6, 7))
    counts = {(p, r): 0 for p in (False, True) for r in (False, True)}
    for p, r in zip(prediction.ravel(), reference.ravel(), strict=True):
        counts[bool(p), bool(r)] += 1
    tp, fp, fn, tn = counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    scores = region_metrics(prediction, reference, SPACING)
    assert scores["Dice"] == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-12)
    assert scores["Sensitivity"] == pytest.approx(tp / (tp + fn), abs=1e-12)
    assert scores["Specificity"] == pytest.approx(tn / (tn + fp), abs=1e-12)
    volumes = 100 * abs(tp + fp - tp - fn) / (tp + fn)
    assert chaos_metrics(prediction, reference, SPACING)["RAVD"] == pytest.approx(volumes, abs=1e-9)


def test_real_segmentation_shifted(real_data) -> None:
    path = real_data / "brats2023" / "BraTS-GLI-00000-000" / "BraTS-GLI-00000-000-seg.nii.gz"
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    for members in ((1, 2, 3), (1, 3), (3,)):
        reference = np.isin(labels, members)
        prediction = np.roll(reference, (2, -3), axis=(1, 2))
        box = tuple(slice(max(0, points.min() - 8), points.max() + 9) for points in np.nonzero(prediction | reference))
        there, back = sitk_distances(prediction[box], reference[box], (1, 1, 1))
        scores = brats_metrics(prediction, reference, (1, 1, 1))
        centres = max(np.percentile(there, 95), np.percentile(back, 95))
        assert scores["HD95 of voxel centres"] == pytest.approx(centres, abs=1e-4)
        assert scores["HD95"] == pytest.approx(deepminds_hd95(prediction, reference, (1.0, 1.0, 1.0)), abs=1e-9)
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(sitk_image(reference, (1, 1, 1)), sitk_image(prediction, (1, 1, 1)))
        assert scores["Dice"] == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-6)


def test_expert_labels_dilated_by_a_voxel(real_data) -> None:
    """HD95 by surface-distance 0.1, and that of voxel centres, which is larger."""
    path = real_data / "brats2023" / "BraTS-GLI-00000-000" / "BraTS-GLI-00000-000-seg.nii.gz"
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    for members, by_area, by_voxels in (((1, 2, 3), 1, 2**0.5), ((3,), 2**0.5, 2)):
        reference = np.isin(labels, members)
        prediction = ndimage.binary_dilation(reference)
        assert hd95(prediction, reference, (1, 1, 1)) == pytest.approx(by_area)
        assert hd95_of_voxel_centres(prediction, reference, (1, 1, 1)) == pytest.approx(by_voxels)
