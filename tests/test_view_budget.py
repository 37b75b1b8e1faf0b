from math import prod

import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.pretraining.view_budget import fit_views


@pytest.mark.parametrize(
    ("patch", "batch", "stride"),
    [
        ((128, 160, 112), 2, (32, 32, 16)),
        ((128, 128), 49, (32, 32)),
        ((64, 64, 64), 2, (16, 16, 16)),
        ((20, 320, 256), 2, (4, 64, 64)),
        ((7, 384, 320), 2, (1, 64, 64)),
    ],
)
@pytest.mark.parametrize("views", [1, 2, 4])
def test_crop_fits_budget_stride_and_bottleneck(
    patch: tuple[int, ...], batch: int, stride: tuple[int, ...], views: int
) -> None:
    fit = fit_views(patch, batch, stride, views, patients=8)
    assert all(c % s == 0 and c >= 2 * s for c, s in zip(fit.crop_size, stride, strict=True))
    assert min(fit.crop_size) >= 4
    assert fit.patients * views * prod(fit.crop_size) <= batch * prod(patch)
    assert 2 <= fit.patients <= 8


def test_eight_patients_of_half_size_fill_a_batch_of_one_eighth() -> None:
    fit = fit_views((128, 128, 128), 2, (32, 32, 32), views_per_patch=2, patients=8)
    assert (fit.crop_size, fit.patients) == ((64, 64, 64), 8)


def test_fewer_patients_where_the_smallest_crop_is_large() -> None:
    fit = fit_views((128, 128, 128), 2, (32, 32, 32), views_per_patch=4, patients=8)
    assert (fit.crop_size, fit.patients) == ((64, 64, 64), 4)


def test_crop_size_can_be_set_and_is_checked() -> None:
    assert fit_views((64, 64), 8, (8, 8), 1, 8, [32, 48]).crop_size == (32, 48)
    with pytest.raises(InputError, match=r"nearest possible size is \[32, 16\]"):
        fit_views((64, 64), 8, (8, 8), 1, 8, [33, 8])
    with pytest.raises(InputError, match="2 axes"):
        fit_views((64, 64), 8, (8, 8), 1, 8, [32])
    with pytest.raises(InputError, match="no room for two patients"):
        fit_views((64, 64), 2, (8, 8), 2, 8, [64, 64])
