import math

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from nnssl_plugin.evaluation.metrics import (
    BRATS_WORST_HD95_MM,
    brats_metrics,
    chaos_metrics,
    diagonal_mm,
    region_metrics,
)
from nnssl_plugin.evaluation.surface_distance import hd95, surface_distances, surface_points

SPACING = (3.0, 0.8, 1.25)


def blobs(seed: int, shape=(12, 22, 18), margin: int = 0) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    mask = noise > np.quantile(noise, 0.8)
    if margin:
        inside = np.zeros(shape, bool)
        inside[(slice(margin, -margin),) * 3] = True
        mask &= inside
    return mask


def brute_surface(mask: np.ndarray, spacing=SPACING) -> np.ndarray:
    """By the definition, voxel by voxel."""
    points = []
    for index in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                other = index.copy()
                other[axis] += step
                if not 0 <= other[axis] < mask.shape[axis] or not mask[tuple(other)]:
                    points.append(tuple(index * np.array(spacing)))
    return np.array(sorted(set(points)))


def brute_distances(prediction: np.ndarray, reference: np.ndarray, spacing=SPACING) -> tuple[np.ndarray, np.ndarray]:
    ours, theirs = brute_surface(prediction, spacing), brute_surface(reference, spacing)
    matrix = np.sqrt(((ours[:, None] - theirs[None]) ** 2).sum(axis=-1))
    return matrix.min(axis=1), matrix.min(axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force(seed: int) -> None:
    prediction, reference = blobs(seed), blobs(seed + 100)
    np.testing.assert_allclose(
        sorted(map(tuple, surface_points(prediction, SPACING))), brute_surface(prediction), atol=1e-12
    )
    there, back = surface_distances(prediction, reference, SPACING)
    expected = brute_distances(prediction, reference)
    np.testing.assert_allclose(np.sort(there), np.sort(expected[0]), atol=1e-9)
    np.testing.assert_allclose(np.sort(back), np.sort(expected[1]), atol=1e-9)
    expected_hd95 = max(np.percentile(expected[0], 95), np.percentile(expected[1], 95))
    assert hd95(prediction, reference, SPACING) == pytest.approx(expected_hd95, abs=1e-9)
    chaos = chaos_metrics(prediction, reference, SPACING)
    both = np.concatenate(expected)
    assert chaos["ASSD"] == pytest.approx(both.mean(), abs=1e-9)
    assert chaos["MSSD"] == pytest.approx(both.max(), abs=1e-9)


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
    for ours, theirs in zip(
        surface_distances(prediction, reference, SPACING), sitk_distances(prediction, reference), strict=True
    ):
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
    there, back = surface_distances(prediction, reference, SPACING)
    assert there.max() == back.max() == pytest.approx(2 * 3.0)
    assert hd95(prediction, reference, SPACING) == pytest.approx(6.0)
    assert hd95(prediction, prediction, SPACING) == 0


def test_single_voxels_and_full_images() -> None:
    one, other = np.zeros((2, 5, 5, 5), bool)
    one[0, 0, 0] = other[4, 4, 4] = True
    assert hd95(one, other, SPACING) == pytest.approx(math.dist((0, 0, 0), (12, 3.2, 5)))
    full = np.ones((4, 4, 4), bool)
    assert len(surface_points(full, (1, 1, 1))) == 4**3 - 2**3
    line = np.zeros((1, 1, 6), bool)
    line[..., 2:4] = True
    assert len(surface_points(line, (1, 1, 1))) == 2


EMPTY, SOME = np.zeros((6, 7, 8), bool), np.zeros((6, 7, 8), bool)
SOME[2:4, 2:5, 3:6] = True
DIAGONAL = math.sqrt((6 * 3.0) ** 2 + (7 * 0.8) ** 2 + (8 * 1.25) ** 2)


@pytest.mark.parametrize(
    ("prediction", "reference", "brats", "chaos"),
    [
        (EMPTY, EMPTY, (1, 0, 1, 1, 1, 0), (1, 0, 0, 0)),
        (SOME, EMPTY, (0, BRATS_WORST_HD95_MM, 0, 1 - 18 / 336, 0, 374), (0, math.nan, DIAGONAL, DIAGONAL)),
        (EMPTY, SOME, (0, BRATS_WORST_HD95_MM, 0, 1, 1, 0), (0, 100, DIAGONAL, DIAGONAL)),
        (SOME, SOME, (1, 0, 1, 1, 1, 0), (1, 0, 0, 0)),
    ],
)
def test_empty_masks(prediction, reference, brats: tuple, chaos: tuple) -> None:
    # 18 voxels of 3 mm³ are 54 mm³: a lesion that counts; it is missed only where it is in the reference alone.
    expected = dict(
        zip(("Dice", "HD95", "Sensitivity", "Specificity", "Lesion-wise Dice", "Lesion-wise HD95"), brats, strict=True)
    )
    if prediction is EMPTY and reference is SOME:
        expected |= {"Lesion-wise Dice": 0, "Lesion-wise HD95": 374}
    assert brats_metrics(prediction, reference, SPACING) == pytest.approx(expected)
    regions = region_metrics(prediction, reference, SPACING)
    one_empty = prediction.any() != reference.any()
    assert regions["HD95"] == pytest.approx(DIAGONAL if one_empty else 0)
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
        assert scores["HD95"] == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)), abs=1e-4)
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(sitk_image(reference, (1, 1, 1)), sitk_image(prediction, (1, 1, 1)))
        assert scores["Dice"] == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-6)
