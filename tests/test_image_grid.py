"""A map goes back to the grid of its image through everything that nnU-Net's preprocessing did."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from scipy.ndimage import gaussian_filter

from nnssl_plugin.classification.image_grid import on_image_grid
from tests.synthetic import make_dataset_json, make_plans


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
@pytest.mark.parametrize("axes", [[0, 1, 2], [2, 0, 1]])
def test_cropping_resampling_and_turning_are_undone(tmp_path: Path, configuration: str, axes: list[int]) -> None:
    rng = np.random.default_rng(0)
    image = np.zeros((20, 26, 32), np.float32)
    # Off the centre, so that a wrong corner or a swapped axis would show.
    image[4:18, 3:19, 10:30] = gaussian_filter(rng.normal(size=(14, 16, 20)), 2.5) * 50 + 10
    written = sitk.GetImageFromArray(image)
    written.SetSpacing((1.0, 1.5, 2.0))
    file = tmp_path / "a_0000.nii.gz"
    sitk.WriteImage(written, str(file))
    raw = make_plans(channels=1)
    raw["transpose_forward"], raw["transpose_backward"] = axes, np.argsort(axes).tolist()
    for one in raw["configurations"].values():
        one["normalization_schemes"] = ["NoNormalization"]
    plans = PlansManager(raw)
    planned = plans.get_configuration(configuration)
    preprocessor = planned.preprocessor_class(verbose=False)
    described = make_dataset_json(["a"], channels=1)
    data, _, properties = preprocessor.run_case([str(file)], None, plans, planned, described)
    assert data.shape[1:] != image.shape
    back = on_image_grid(np.asarray(data)[0], properties, plans, planned)
    assert back.shape == image.shape
    inside = image != 0
    assert np.corrcoef(back[inside], image[inside])[0, 1] > 0.98
    assert np.abs(back[~inside]).max() < 0.2 * image.max()
