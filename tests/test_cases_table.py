from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from tests.dicom_trees import write_series
from tests.scans import dataset_json, files_of, image, names_in, read, run_convert, segmentation, write

HEADER = "case,patient,modality,path\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    for number in range(3):
        write(folder / f"{number}.mha", image(number))
        write(folder / f"{number}.nii.gz", image(10 + number))
        write(folder / f"{number}_lesion.nii.gz", segmentation(1))
    return folder


def convert(source: Path, rows: str, *options: object) -> int:
    table = source / "files.csv"
    table.write_text(HEADER + rows)
    return run_convert("folder", "-i", source, "-d", 505, "--csv", table, *options)


def test_a_table_names_cases_patients_and_modalities(source: Path, raw: Path):
    rows = "".join(
        f"visit{n},{'anna' if n < 2 else ''},T2,{n}.mha\nvisit{n},{'anna' if n < 2 else ''},T1,{n}.nii.gz\n"
        f"visit{n},{'anna' if n < 2 else ''},label,{n}_lesion.nii.gz\n"
        for n in range(3)
    )
    assert convert(source, rows, "--label-name", "lesion=1") == 0
    folder = raw / "Dataset505_archive"
    description = dataset_json(folder)
    assert description["channel_names"] == {"0": "T2", "1": "T1"}
    patients = {name: case["patient"] for name, case in description["nnssl_plugin"]["cases"].items()}
    assert patients == {"visit0": "anna", "visit1": "anna", "visit2": "visit2"}
    images, label = files_of(folder, "visit1")
    for path, seed in zip(images, (1, 11), strict=True):
        np.testing.assert_array_equal(read(path), image(seed))
    np.testing.assert_array_equal(read(label), segmentation(1))
    assert (folder / "splits_final.json").exists()


def test_a_series_by_its_folder(source: Path, raw: Path, tmp_path: Path):
    voxels = np.random.default_rng(0).integers(0, 500, (5, 6, 7))
    files = write_series(source / "series", voxels, names=list("dbeca"))
    assert convert(source, f"a,,T1,series\nb,,T1,{source / 'series'}\n") == 0
    image_file = files_of(raw / "Dataset505_archiveUnlabelled", "a")[0][0]
    np.testing.assert_array_equal(read(image_file), voxels)
    assert sitk.ReadImage(str(image_file)).GetSpacing() == pytest.approx((1.5, 1.25, 4))
    assert len(files) == 5


def test_series_by_pattern(tmp_path: Path, raw: Path):
    folder = tmp_path / "scans"
    for case in ("a", "b"):
        for seed, name in enumerate(("in", "out")):
            voxels = np.random.default_rng(seed).integers(0, 500, (5, 6, 7))
            write_series(folder / case / "T1" / name, voxels)
    arguments = ("--modality", "T1in=*/T1/in/", "T1out=*/T1/out/")
    assert run_convert("folder", "-i", folder, "-d", 505, *arguments) == 0
    images, _ = files_of(raw / "Dataset505_scansUnlabelled", "b")
    for seed, path in enumerate(images):
        np.testing.assert_array_equal(read(path), np.random.default_rng(seed).integers(0, 500, (5, 6, 7)))


def test_a_file_that_is_not_there(source: Path, raw: Path, capsys):
    assert convert(source, "a,,T1,0.nii.gz\nb,,T1,9.nii.gz\n") == 1
    assert "b: T1: there is no" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("rows", "options", "complaint"),
    [
        ("a,,T1,9.nii.gz\n", (), "names no image that exists"),
        ("a,,,0.nii.gz\n", (), "line 2: case, modality and path must be given"),
        ("a/b,,T1,0.nii.gz\n", (), "no / be in the case"),
        ("a,p,T1,0.nii.gz\na,q,T2,0.mha\n", (), "line 3: case a is of p and of q"),
        ("a,,T1,0.nii.gz\na,,T1,1.nii.gz\n", (), "2 files for one T1"),
        ("a,,T1,0.nii.gz\n", ("--label", "*_seg.nii.gz"), "--label goes with --modality"),
        ("a,,T1,0.nii.gz\n", ("--label-name", "x=1"), "no row of a label"),
    ],
)
def test_tables_that_make_no_sense(source: Path, raw: Path, rows, options, complaint):
    with pytest.raises(InputError, match=complaint):
        convert(source, rows, *options)
    assert names_in(raw) == []


def test_a_table_with_other_columns(source: Path, raw: Path):
    table = source / "files.csv"
    table.write_text("subject,file\n")
    for file, complaint in (
        (table, "has the columns subject, file; expected case"),
        (source / "x.csv", "cannot be read"),
    ):
        with pytest.raises(InputError, match=complaint):
            run_convert("folder", "-i", source, "-d", 505, "--csv", file)


def test_resampling_onto_one_modality(source: Path, raw: Path, capsys):
    # Half the spacing: the voxels of the reference are every other one of these.
    fine = np.random.default_rng(0).integers(1, 200, (11, 13, 15), np.int16)
    write(source / "0.mha", fine, spacing=(0.5, 0.5, 1.0))
    labels = np.zeros((11, 13, 15), np.uint8)
    labels[4:7, 4:9, 4:9] = 1
    write(source / "0_lesion.nii.gz", labels, spacing=(0.5, 0.5, 1.0))
    rows = "a,,T1,0.nii.gz\na,,T2,0.mha\na,,label,0_lesion.nii.gz\n"
    with pytest.raises(InputError, match=r"a: T2: .*0.mha is not on the grid of T1"):
        convert(source, rows)
    with pytest.raises(InputError, match="--resample-to T3: the modalities are T1, T2"):
        convert(source, rows, "--resample-to", "T3")
    assert convert(source, rows, "--resample-to", "T1") == 0
    images, label = files_of(raw / "Dataset505_archive", "a")
    assert images[0] == source / "0.nii.gz"
    np.testing.assert_allclose(read(images[1]), fine[::2, ::2, ::2], atol=1e-3)
    np.testing.assert_array_equal(read(label), labels[::2, ::2, ::2])
    assert "resampled: 2 scans, covering 100% or more" in capsys.readouterr().out
