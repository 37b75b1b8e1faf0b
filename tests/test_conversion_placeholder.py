import numpy as np
import pytest

from nnssl_plugin.conversion.placeholder import background_value, image_foreground
from nnssl_plugin.errors import InputError


def head(background: float) -> np.ndarray:
    volume = np.full((6, 7, 8), background, np.float32)
    volume[1:-1, 1:-1, 1:-1] = np.random.default_rng(0).normal(1, 0.1, (4, 5, 6))
    return volume


@pytest.mark.parametrize("background", [0.0, -3.62, 100.0])
def test_background_is_the_value_of_the_border_whatever_it_is(background: float):
    assert background_value(head(background)) == pytest.approx(background)
    expected = np.zeros((6, 7, 8), bool)
    expected[1:-1, 1:-1, 1:-1] = True
    np.testing.assert_array_equal(image_foreground([head(background)]), expected)


def test_without_a_constant_background_all_is_foreground():
    noise = np.random.default_rng(0).normal(size=(6, 7, 8))
    assert background_value(noise) is None
    assert image_foreground([head(0), noise]).all()


def test_foreground_of_any_modality_counts():
    first, second = np.zeros((2, 6, 7, 8))
    first[2, 3, 4] = second[3, 3, 3] = 1
    assert np.argwhere(image_foreground([first, second])).tolist() == [[2, 3, 4], [3, 3, 3]]


def test_nothing_but_constant_images():
    with pytest.raises(InputError, match="constant"):
        image_foreground([np.zeros((6, 7, 8)), np.ones((6, 7, 8))])
