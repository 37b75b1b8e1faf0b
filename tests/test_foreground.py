import numpy as np
import pytest

from nnssl_plugin.data.foreground import constant_background, foreground_mask
from nnssl_plugin.data.patch_sampler import inside_image


def head(background: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    inside = np.zeros((20, 30, 30), dtype=bool)
    inside[3:17, 4:26, 5:27] = True
    return np.where(inside, rng.normal(0.4, 1, inside.shape), background).astype(np.float32), inside


@pytest.mark.parametrize("background", [0.0, -0.8123456, 2.5])
def test_background_need_not_be_zero(background: float) -> None:
    image, inside = head(background, np.random.default_rng(0))
    assert constant_background(image) == pytest.approx(background, abs=1e-6)
    mask = foreground_mask(image[None], np.array([background]), np.array([True]))
    assert (mask == inside).mean() > 0.999


def test_resampling_noise_is_tolerated() -> None:
    rng = np.random.default_rng(0)
    image, inside = head(-0.8, rng)
    image = image + rng.normal(0, 1e-4, image.shape).astype(np.float32)
    background = constant_background(image)
    assert background == pytest.approx(-0.8, abs=1e-3)
    assert (foreground_mask(image[None], np.array([background]), np.array([True])) == inside).mean() > 0.99


def test_noise_has_no_constant_background_even_in_integers() -> None:
    rng = np.random.default_rng(0)
    assert np.isnan(constant_background(rng.normal(size=(20, 20, 20)).astype(np.float32)))
    # Air in a magnitude image stored as integers: few values, all common.
    noise = rng.rayleigh(3, (30, 30, 30)).astype(np.int16).astype(np.float32)
    noise[10:20] += rng.integers(100, 400, (10, 30, 30))
    assert np.isnan(constant_background((noise - noise.mean()) / noise.std()))


def test_union_over_present_modalities() -> None:
    image = np.zeros((3, 4, 4), dtype=np.float32)
    image[0, 0], image[1, 1], image[2, 2] = 1, 1, 1
    background = np.zeros(3)
    mask = foreground_mask(image, background, np.array([True, True, False]))
    assert mask[0].all()
    assert mask[1].all()
    assert not mask[2:].any()
    background[1] = np.nan
    assert foreground_mask(image, background, np.array([True, True, False])).all()


@pytest.mark.parametrize("start", [(-3, 2, 4), (6, -8, 0), (0, 0, 0), (30, 0, 0)])
def test_what_lies_beyond_the_image_is_known_without_reading_it(start: tuple[int, ...]) -> None:
    shape, size = (8, 9, 10), (6, 7, 12)
    box = [[low, low + edge] for low, edge in zip(start, size, strict=True)]
    expected = np.zeros(size, dtype=bool)
    for place in np.ndindex(*size):
        expected[place] = all(0 <= low + at < edge for low, at, edge in zip(start, place, shape, strict=True))
    np.testing.assert_array_equal(inside_image(box, shape), expected)
