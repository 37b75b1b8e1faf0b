"""Cases of a folder of raw images, named as nnU-Net wants them or listed in place."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.raw_cases import preprocessed_cases
from tests.synthetic import brain, make_plans


def test_images_that_a_data_set_lists_in_place(tmp_path: Path) -> None:
    listed = {}
    for number in range(3):
        files = [tmp_path / "scans" / f"p{number}_{modality}.nii.gz" for modality in ("t1", "flair")]
        files[0].parent.mkdir(exist_ok=True)
        for channel, file in enumerate(files):
            sitk.WriteImage(sitk.GetImageFromArray(brain(number, 2)[channel]), str(file))
        listed[f"case{number}"] = {"images": list(map(str, files)), "label": "none.nii.gz"}
    images = tmp_path / "imagesTr"
    images.mkdir()
    described = {"channel_names": {"0": "T1", "1": "FLAIR"}, "labels": {"background": 0}, "file_ending": ".nii.gz"}
    plans = make_plans({}, channels=2)
    with pytest.raises(InputError, match="holds no image named"):
        list(preprocessed_cases(images, plans, "2d", described, "Reading"))
    (tmp_path / "dataset.json").write_text(json.dumps({**described, "dataset": listed}))
    cases = list(preprocessed_cases(images, plans, "2d", described, "Reading"))
    assert [case.name for case in cases] == list(listed)
    (one,) = preprocessed_cases(images, plans, "2d", described, "Reading", "case1")
    assert [str(file) for file in one.files] == listed["case1"]["images"]
    assert np.array_equal(one.image, cases[1].image)
    # What a conversion wrote into the folder is listed with the rest.
    written = images / "case2_0000.nii.gz"
    Path(listed["case2"]["images"][0]).rename(written)
    listed["case2"]["images"][0] = "imagesTr/case2_0000.nii.gz"
    (tmp_path / "dataset.json").write_text(json.dumps({**described, "dataset": listed}))
    mixed = list(preprocessed_cases(images, plans, "2d", described, "Reading"))
    assert [case.name for case in mixed] == list(listed)
    assert mixed[2].files[0] == written
    with pytest.raises(InputError, match="holds no case other"):
        list(preprocessed_cases(images, plans, "2d", described, "Reading", "other"))
