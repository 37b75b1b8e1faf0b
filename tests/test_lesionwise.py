import numpy as np
import pytest
from scipy import ndimage

from nnssl_plugin.evaluation.dice import dice
from nnssl_plugin.evaluation.lesionwise import lesionwise_scores
from nnssl_plugin.evaluation.surface_distance import hd95
from tests.test_surface_distance import blobs, deepminds_hd95

ISOTROPIC = (1.0, 1.0, 1.0)


def empty() -> np.ndarray:
    return np.zeros((40, 40, 60), bool)


def cube(mask: np.ndarray, z: int, y: int, x: int, edge: int = 4) -> np.ndarray:
    mask[z : z + edge, y : y + edge, x : x + edge] = True
    return mask


def test_an_example_worked_out_by_hand() -> None:
    """Three lesions of 64 mm³: one hit with an overlap of half, one missed, one of 27 mm³ left out; one false lesion."""
    reference, prediction = empty(), empty()
    cube(reference, 5, 5, 5)
    cube(reference, 5, 5, 30)
    cube(reference, 25, 25, 25, edge=3)
    cube(prediction, 5, 5, 7)  # 32 of 64 voxels: Dice 0.5; two voxels further along x
    cube(prediction, 30, 5, 5)
    scores = lesionwise_scores(prediction, reference, ISOTROPIC)
    # Nearly a quarter of the cube's surface is 2 mm from the other surface, nothing is farther: HD95 is 2.
    assert (scores.lesions, scores.missed, scores.false) == (2, 1, 1)
    assert scores.dice == pytest.approx((0.5 + 0 + 0) / 3)
    assert scores.hd95 == pytest.approx((2 + 374 + 374) / 3)


@pytest.mark.parametrize(("gap", "lesions"), [(1, 1), (6, 1), (7, 2), (12, 2)])
def test_lesions_that_touch_when_dilated_are_one(gap: int, lesions: int) -> None:
    """Each grows by three voxels: over a gap of six they meet."""
    reference = cube(cube(empty(), 10, 10, 10), 10, 10, 14 + gap)
    scores = lesionwise_scores(reference, reference, ISOTROPIC)
    assert (scores.lesions, scores.dice, scores.hd95) == (lesions, 1, 0)
    # One of the two predicted: half of a joined lesion, or one of two.
    half = lesionwise_scores(cube(empty(), 10, 10, 10), reference, ISOTROPIC)
    assert half.dice == pytest.approx(2 / 3 if lesions == 1 else 0.5)


@pytest.mark.parametrize(("distance", "false"), [(3, 0), (4, 1)])
def test_a_prediction_near_a_lesion_belongs_to_it(distance: int, false: int) -> None:
    reference = cube(empty(), 10, 10, 10)
    prediction = reference.copy()
    prediction[11, 11, 13 + distance] = True
    scores = lesionwise_scores(prediction, reference, ISOTROPIC)
    assert scores.false == false
    assert scores.dice == pytest.approx(0.5 if false else 2 * 64 / (64 + 65))


@pytest.mark.parametrize(("spacing", "lesions"), [((1, 1, 1), 0), ((1, 1, 50 / 27), 0), ((1, 1, 1.9), 1)])
def test_reference_lesions_of_at_most_50_mm3_are_left_out(spacing, lesions: int) -> None:
    reference = cube(empty(), 10, 10, 10, edge=3)
    scores = lesionwise_scores(empty(), reference, spacing)
    assert (scores.lesions, scores.missed) == (lesions, lesions)
    assert scores.dice == 1 - lesions
    # What touches a lesion that is left out is not false.
    assert lesionwise_scores(reference, reference, spacing).false == 0


def test_diagonal_neighbours_are_one_lesion() -> None:
    prediction = empty()
    prediction[10, 10, 10] = prediction[11, 11, 11] = True
    assert lesionwise_scores(prediction, empty(), ISOTROPIC).false == 1


def brute_force(prediction: np.ndarray, reference: np.ndarray, spacing, distance) -> tuple[float, float]:
    """The published procedure on whole images, without boxes; `distance`: its HD95."""
    near, everything = ndimage.generate_binary_structure(3, 2), np.ones((3, 3, 3))
    lesions = ndimage.label(ndimage.binary_dilation(reference, near, 3), everything)[0] * reference
    predicted = ndimage.label(prediction, everything)[0]
    dices, distances, touching = [], [], set()
    for number in set(np.unique(lesions)) - {0}:
        lesion = lesions == number
        touched = set(np.unique(predicted[ndimage.binary_dilation(lesion, near, 3)])) - {0}
        touching |= touched
        if lesion.sum() * np.prod(spacing) > 50:
            ours = np.isin(predicted, list(touched))
            dices.append(dice(ours, lesion))
            distances.append(distance(ours, lesion, spacing) if touched else 374)
    false = len(set(np.unique(predicted)) - {0} - touching)
    if not dices and not false:
        return 1.0, 0.0
    count = len(dices) + false
    return sum(dices) / count, (sum(distances) + 374 * false) / count


@pytest.mark.parametrize("distance", [hd95, deepminds_hd95])
@pytest.mark.parametrize("seed", range(8))
def test_equals_the_procedure_on_whole_images(seed: int, distance) -> None:
    shape, spacing = (30, 40, 50), (1.5, 1.0, 0.8)

    def lesions(seed: int) -> np.ndarray:
        noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.6)
        return noise > np.quantile(noise, 0.99)

    reference = lesions(seed)
    prediction = (reference & blobs(seed, shape)) | (lesions(seed + 100) & (np.arange(50) > 25))
    scores = lesionwise_scores(prediction, reference, spacing)
    assert (scores.dice, scores.hd95) == pytest.approx(brute_force(prediction, reference, spacing, distance), abs=1e-9)
    assert scores.lesions > 2


def test_half_a_volume_at_the_border() -> None:
    reference = cube(empty(), 0, 0, 0)
    assert lesionwise_scores(reference, reference, ISOTROPIC)[:2] == (1, 0)
