"""The small inputs on which the product failed once, kept beside the real cases: what is right for each."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.cli import main
from nnssl_plugin.images.image_file import geometry_differences, read_header
from tests.scans import conversion_json, dataset_json, files_of, names_in, read
from tests.test_written_whole import room_for

PATTERNS = ("--modality", "T1=*_t1.nii.gz", "FLAIR=*_flair.nii.gz")
SERIES = ("--modality", "T1=*/T1/", "T2=*/T2/")
LABEL = ("--label", "*_seg.nii.gz")


@pytest.fixture
def cases(real_data: Path) -> Path:
    folder = real_data / "cases"
    if not folder.is_dir():
        pytest.skip(f"there is no {folder}")
    return folder


def convert(layout: str, source: Path, *options: object) -> int:
    return main(["convert", layout, "-i", str(source), "-d", "505", *map(str, options)])


def only_folder(raw: Path) -> Path:
    (folder,) = raw.glob("Dataset*")
    return folder


def left_out(raw: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = conversion_json(only_folder(raw))["left out"]
    return found


def test_full_disk(cases: Path, raw: Path, tmp_path: Path, capsys) -> None:
    assert convert("brats", cases / "full_disk" / "source", "--labels", "classes") == 0
    output = tmp_path / "out"
    with room_for(20_000):
        assert convert("brats", cases / "full_disk" / "predictions", "--back", "-o", output) == 1
    said = capsys.readouterr().out
    for name in names_in(cases / "full_disk" / "predictions"):
        assert f"{output / name} could not be written" in said
    assert names_in(output) == []


def test_stale_qform(cases: Path, raw: Path) -> None:
    assert convert("folder", cases / "stale_qform", *PATTERNS, "--resample-to", "T1") == 1
    assert "sform and qform are up to 8 mm apart" in left_out(raw)["a"][0]
    t1, flair = (read(path) for path in files_of(only_folder(raw), "b")[0])
    assert np.corrcoef(t1[t1 > 0], flair[t1 > 0])[0, 1] > 0.9


def test_same_scan_two_names(cases: Path, raw: Path, capsys) -> None:
    assert convert("folder", cases / "same_scan_two_names", *PATTERNS, *LABEL) == 0
    output = capsys.readouterr().out
    assert "7 labelled cases of 6 patients" in output
    assert "one scan under several names, counted as one patient: a and z (T1, FLAIR)" in output
    for fold in json.loads((only_folder(raw) / "splits_final.json").read_text(encoding="utf-8")):
        assert ("a" in fold["val"]) is ("z" in fold["val"])


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("colour_dicom", "is in colour"), ("no_pixel_spacing", "does not say how large its pixels are")],
)
def test_series_of_which_one_cannot_be_used(cases: Path, raw: Path, name: str, complaint: str) -> None:
    assert convert("folder", cases / name, *SERIES) == 1
    assert complaint in left_out(raw)["p2"][0]
    (image, _), _ = files_of(only_folder(raw), "p1")
    assert sitk.ReadImage(str(image)).GetSpacing() == pytest.approx((1.25, 1.25, 4))


def test_zero_pixdim(cases: Path, raw: Path) -> None:
    assert convert("folder", cases / "zero_pixdim", "--modality", "T1=*_t1.nii", "FLAIR=*_flair.nii") == 1
    assert "pixdim 1, 1, 0" in left_out(raw)["a"][0]
    assert list(dataset_json(only_folder(raw))["nnssl_plugin"]["cases"]) == ["b"]


def test_chaos_binary_masks(cases: Path, raw: Path, capsys) -> None:
    assert convert("chaos", cases / "chaos_binary_masks") == 2
    assert "holds nothing but 0 and 255, like the mask of one structure" in capsys.readouterr().err
    assert list(raw.glob("Dataset*")) == []


def test_chaos_rounded_position(cases: Path, raw: Path) -> None:
    assert convert("chaos", cases / "chaos_rounded_position") == 0
    (in_phase, out_of_phase), label = files_of(only_folder(raw), "CHAOS_MR_1")
    for path in (out_of_phase, label):
        assert geometry_differences(read_header(in_phase), read_header(path)) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("float_noise_label", "not whole numbers, like 1.0000002"), ("gap_blame", "(-1 is in 2 of 2 cases, like a)")],
)
def test_segmentations_that_cannot_be_used(cases: Path, raw: Path, capsys, name: str, said: str) -> None:
    assert convert("folder", cases / name, *PATTERNS, *LABEL) == 2
    assert said in capsys.readouterr().err


def test_name_ends_in_seg(cases: Path, raw: Path) -> None:
    assert convert("folder", cases / "name_ends_in_seg", *PATTERNS) == 1
    assert "its name ends in _seg" in left_out(raw)["p3_seg"][0]
    assert list(dataset_json(only_folder(raw))["nnssl_plugin"]["cases"]) == ["p1", "p2"]


def test_sessions(cases: Path, raw: Path, capsys) -> None:
    assert convert("folder", cases / "sessions", *PATTERNS) == 0
    assert "HINT: sub-01_ses-1 and sub-01_ses-2 look like examinations of one patient" in capsys.readouterr().out


def test_nul_in_table(cases: Path, raw: Path, capsys) -> None:
    assert convert("folder", cases / "nul_in_table", "--csv", cases / "nul_in_table" / "t.csv") == 2
    assert "t.csv, line 2 holds '\\x00'" in capsys.readouterr().err
