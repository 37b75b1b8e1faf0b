import itertools
import math

import numpy as np
import pytest
from nnunetv2.evaluation.evaluate_predictions import compute_tp_fp_fn_tn

from nnssl_plugin.evaluation.dice import dice


def brute_force(prediction: np.ndarray, reference: np.ndarray) -> float:
    both = either = 0
    for index in itertools.product(*map(range, prediction.shape)):
        both += bool(prediction[index]) and bool(reference[index])
        either += bool(prediction[index]) + bool(reference[index])
    return 2 * both / either


@pytest.mark.parametrize("shape", [(5, 7), (4, 5, 6)])
@pytest.mark.parametrize("density", [0.05, 0.5, 0.95])
def test_equals_brute_force(shape: tuple[int, ...], density: float) -> None:
    rng = np.random.default_rng(0)
    prediction, reference = rng.random((2, *shape)) < density
    assert dice(prediction, reference) == pytest.approx(brute_force(prediction, reference), abs=1e-12)


def test_equals_nnunet() -> None:
    prediction, reference = np.random.default_rng(1).random((2, 6, 6, 6)) < 0.3
    tp, fp, fn, _ = compute_tp_fp_fn_tn(reference, prediction)
    assert dice(prediction, reference) == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-12)


def test_overlap_of_half() -> None:
    prediction, reference = np.zeros((2, 4), bool)
    prediction[:2] = reference[1:3] = True
    assert dice(prediction, reference) == 0.5


def test_empty_masks() -> None:
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    assert dice(empty, empty) == 1
    assert math.isnan(dice(empty, empty, both_empty=math.nan))
    assert dice(empty, full) == 0
    assert dice(full, empty, both_empty=math.nan) == 0
    assert dice(full, full) == 1
