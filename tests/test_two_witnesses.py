"""sform, qform and pixdim of a NIfTI file say where it lies: where they disagree, nobody knows, and the case is named."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.nifti_header import read_nifti_header
from tests.dicom_trees import chaos_volume, write_series
from tests.scans import conversion_json, files_of, image, names_in, read, run_convert

PATTERNS = ("--modality", "T1=*_t1.nii.gz", "FLAIR=*_flair.nii.gz")
GRID = np.diag([-1.0, -1.0, 2.0, 1.0])
SHIFTED = GRID + np.array([[0, 0, 0, 3.0], [0] * 4, [0] * 4, [0] * 4])


def save(
    path: Path,
    seed: int,
    sform: np.ndarray = GRID,
    qform: np.ndarray = GRID,
    codes: tuple[int, int] = (1, 1),
) -> None:
    made = nib.Nifti1Image(image(seed, path.name).transpose(2, 1, 0), sform)
    made.set_sform(sform, codes[0])
    made.set_qform(qform, codes[1])
    nib.save(made, path)


def only_case(raw: Path) -> dict:
    (folder,) = raw.glob("Dataset*")
    return conversion_json(folder)


@pytest.mark.parametrize("resample", [(), ("--resample-to", "T1")])
def test_transforms_of_one_scan_that_disagree(source: Path, raw: Path, resample: tuple) -> None:
    for case, qform in (("a", SHIFTED), ("b", GRID)):
        save(source / f"{case}_t1.nii.gz", 0)
        save(source / f"{case}_flair.nii.gz", 1, qform=qform)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, *resample) == 1
    record = only_case(raw)
    assert list(record["cases"]) == ["b"]
    (problem,) = record["left out"]["a"]
    assert problem.startswith(f"FLAIR: {source / 'a_flair.nii.gz'}")
    assert "its sform and qform are up to 3 mm apart" in problem


def test_the_same_disagreement_in_every_scan_is_a_note(source: Path, raw: Path, capsys) -> None:
    for name in ("a_t1", "a_flair"):
        save(source / f"{name}.nii.gz", 0, qform=SHIFTED)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 0
    files = only_case(raw)["cases"]["a"]["files"]
    assert "its sform and qform are up to 3 mm apart, as in every scan of the case" in files["T1"]["notes"]
    assert "as in every scan of the case" in capsys.readouterr().out


def test_transforms_that_were_rounded_agree(source: Path, raw: Path) -> None:
    near = GRID + np.array([[0, 1e-5, 0, 0.04], [0] * 4, [0] * 4, [0] * 4])
    for name in ("a_t1", "a_flair"):
        save(source / f"{name}.nii.gz", 0, sform=GRID, qform=near)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, "--strict") == 0
    assert only_case(raw)["cases"]["a"]["files"]["T1"]["notes"] == []


@pytest.mark.parametrize("codes", [(1, 0), (1, 1)])
def test_sizes_of_a_voxel_that_disagree(source: Path, raw: Path, codes: tuple[int, int]) -> None:
    for case in "ab":
        for modality in ("t1", "flair"):
            save(source / f"{case}_{modality}.nii.gz", 0, codes=codes)
    made = nib.load(source / "a_t1.nii.gz")
    made.set_sform(GRID @ np.diag([0.5, 1, 1, 1]), 1)
    made.header["pixdim"][1:4] = (1, 1, 2)
    made.header["qform_code"] = codes[1]
    nib.save(nib.Nifti1Image(np.asarray(made.dataobj), None, made.header), source / "a_t1.nii.gz")
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 1
    assert list(only_case(raw)["left out"]) == ["a"]
    assert "voxels are of (0.5, 1, 2) mm by its sform and of (1, 1, 2) mm by its pixdim" in str(
        only_case(raw)["left out"]
    )


def test_what_does_not_say_where_it_lies_is_not_resampled(source: Path, raw: Path) -> None:
    up = np.array([[0] * 4, [0] * 4, [0, 0, 0, 4.0], [0] * 4])
    for case, codes in (("a", (0, 0)), ("b", (1, 1))):
        save(source / f"{case}_t1.nii.gz", 0, GRID + up, GRID + up)
        save(source / f"{case}_flair.nii.gz", 1, SHIFTED + up, SHIFTED + up, codes)
    options = ("--resample-to", "T1", "--min-overlap", 0.3)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, *options) == 1
    assert "does not say where it lies" in only_case(raw)["left out"]["a"][0]
    (folder,) = raw.glob("Dataset*")
    # By its header FLAIR begins 3 mm to the right of T1.
    flair = image(1, "b_flair.nii.gz")
    expected = np.zeros(flair.shape)
    expected[:, :, :-3] = flair[:, :, 3:]
    np.testing.assert_allclose(read(files_of(folder, "b")[0][1]), expected)
    assert names_in(folder / "imagesTr") == ["b_0001.nii.gz"]


def test_scans_of_two_spaces_are_not_resampled(source: Path, raw: Path) -> None:
    shifted = SHIFTED + np.array([[0, 0, 0, -2.0], [0] * 4, [0] * 4, [0] * 4])
    for case, code in (("a", 4), ("b", 2)):
        save(source / f"{case}_t1.nii.gz", 0)
        save(source / f"{case}_flair.nii.gz", 1, shifted, shifted, (code, 0))
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, "--resample-to", "T1") == 1
    assert only_case(raw)["left out"]["a"][0].startswith(
        "FLAIR lies in the space of a template and T1 in that of a scanner"
    )
    assert list(only_case(raw)["cases"]) == ["b"]


def test_series_of_two_frames_of_reference_are_not_resampled(source: Path, raw: Path) -> None:
    for case, frame in (("a", "1.2.4"), ("b", "1.2.3")):
        write_series(source / case / "T1", chaos_volume(ord(case)))
        write_series(source / case / "T2", chaos_volume(ord(case) + 10)[:, :-1], space=frame)
    patterns = ("--modality", "T1=*/T1/", "T2=*/T2/")
    assert run_convert("folder", "-i", source, "-d", 505, *patterns, "--resample-to", "T1") == 1
    assert "different frames of reference" in only_case(raw)["left out"]["a"][0]
    assert list(only_case(raw)["cases"]) == ["b"]


@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_headers_of_both_versions_and_byte_orders(tmp_path: Path, version: type, order: str) -> None:
    header = version.header_class(endianness=order)
    header.set_data_shape((2, 3, 4))
    header["pixdim"][1:4] = (1, 0, 2)
    header.set_sform(GRID, 1)
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(200))
    read_back = read_nifti_header(tmp_path / "a.nii")
    assert (read_back.size, read_back.spacing) == ((2, 3, 4), (1, 0, 2)), "nothing is repaired"
    np.testing.assert_array_equal(read_back.sform, GRID)
    assert read_back.qform is None


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (gzip.compress(bytes(600))[:-12], "is truncated or damaged"),
        (gzip.compress(bytes(np.random.default_rng(0).bytes(600)))[:50] + bytes(80), "is truncated or damaged"),
        (gzip.compress(bytes(100)), "cannot be read"),
    ],
    # gzip writes the time, and the processes of a test run must agree on the names.
    ids=["cut off", "damaged", "too short"],
)
def test_headers_that_cannot_be_read(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.nii\.gz {complaint}"):
        read_nifti_header(tmp_path / "a.nii.gz")
