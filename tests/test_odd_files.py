"""One odd file costs one case, which is named; the others are converted."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.cli import main
from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.checked import CheckedCase
from nnssl_plugin.conversion.scan import ImageFile
from nnssl_plugin.conversion.work_folder import WorkFolder
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.dicom_series import read_slices
from nnssl_plugin.images.image_file import read_checked_header, read_header
from tests.brats_trees import write_case
from tests.dicom_trees import chaos_volume, write_chaos_t1, write_series
from tests.scans import conversion_json, dataset_json, image, run_convert, segmentation, write

PATTERNS = ("--modality", "T1=*_t1.nii.gz", "FLAIR=*_flair.nii.gz")


def pair(folder: Path, case: str) -> None:
    for seed, modality in enumerate(("t1", "flair")):
        write(folder / f"{case}_{modality}.nii.gz", image(seed, case))


def converted(raw: Path) -> list[str]:
    (folder,) = raw.glob("Dataset*")
    return sorted(dataset_json(folder)["nnssl_plugin"]["cases"])


def left_out(raw: Path) -> dict[str, list[str]]:
    (folder,) = raw.glob("Dataset*")
    found: dict[str, list[str]] = conversion_json(folder)["left out"]
    return found


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("p3_seg", "its name ends in _seg, which nnU-Net takes for a segmentation"),
        ("p3_SEG", "its name ends in _seg"),
        ("x" * 230, "its name has 230 bytes, more than the 200"),
        ("é" * 110, "its name has 220 bytes"),
        (".hidden", "begins with a dot"),
        ("..", "begins with a dot"),
        ("two\nlines", r"its name holds '\n'"),
    ],
)
def test_names_that_cannot_be_used(source: Path, raw: Path, name: str, complaint: str) -> None:
    pair(source, "ok")
    pair(source, "odd")
    rows = [
        f'"{case}",,{modality.upper()},{stem}_{modality}.nii.gz'
        for case, stem in (("ok", "ok"), (name, "odd"))
        for modality in ("t1", "flair")
    ]
    (source / "t.csv").write_text("\n".join(["case,patient,modality,path", *rows]), encoding="utf-8")
    if "\n" in name:
        for modality in ("t1", "flair"):
            (source / f"odd_{modality}.nii.gz").rename(source / f"{name}_{modality}.nii.gz")
        assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 1
    else:
        assert run_convert("folder", "-i", source, "-d", 505, "--csv", source / "t.csv") == 1
    assert converted(raw) == ["ok"]
    assert complaint in left_out(raw)[name][0]


def test_the_longest_name_that_is_taken(source: Path, raw: Path) -> None:
    pair(source, "x" * 200)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, "--copy") == 0
    assert converted(raw) == ["x" * 200]


def test_names_that_are_one_file_on_many_disks(source: Path, raw: Path) -> None:
    for case in ("A", "a", "b", "u\u0308", "\u00fc"):
        pair(source, case)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 1
    assert converted(raw) == ["b"]
    assert "differs from A in upper and lower case or accents only" in left_out(raw)["a"][0]
    assert left_out(raw).keys() == {"A", "a", "u\u0308", "\u00fc"}


@pytest.mark.skipif(os.name == "nt", reason="names are not bytes there")
@pytest.mark.parametrize("place", [b"M\xfcller_%s.nii.gz", b"Kl\xefnik/x_%s.nii.gz"])
def test_names_that_are_not_utf8(source: Path, raw: Path, capsys, place: bytes) -> None:
    pair(source, "ok")
    pair(source, "odd")
    for modality in ("t1", "flair"):
        path = os.fsencode(source) + b"/" + place % modality.encode()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.rename(os.fsencode(source / f"odd_{modality}.nii.gz"), path)
    assert main(["convert", "folder", "-i", str(source), "-d", "505", *PATTERNS]) == 1
    assert converted(raw) == ["ok"]
    output = capsys.readouterr().out
    assert output.encode()
    assert r"M\xfcller: its name is not UTF-8" in output or r"Kl\xefnik/x_t1.nii.gz is not UTF-8" in output


@pytest.mark.skipif(os.name == "nt", reason="names are not bytes there")
def test_readers_refuse_names_over_which_simpleitk_ends_the_process(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.nii.gz"))
    os.link(write(tmp_path / "a.nii.gz", image()), path)
    for read in (read_header, read_checked_header, lambda name: read_slices([name])):
        with pytest.raises(InputError, match=r"M\\xfcller\.nii\.gz has a name that is not UTF-8"):
            read(path)


def test_a_folder_of_slices_that_is_not_utf8(source: Path, raw: Path, capsys) -> None:
    write_chaos_t1(source, 10)
    write_chaos_t1(source, 11, seed=5)
    os.rename(source / "MR" / "11", os.fsencode(source / "MR") + b"/1\xfc")
    assert main(["convert", "chaos", "-i", str(source), "-d", "504"]) == 1
    assert converted(raw) == ["CHAOS_MR_10"]
    assert r"CHAOS_MR_1\xfc" in capsys.readouterr().out


def test_slices_in_colour(source: Path, raw: Path) -> None:
    for number, case in enumerate(("p1", "p2")):
        write_series(source / case / "T1", chaos_volume(number))
    file = source / "p2" / "T1" / "IMG-00003.dcm"
    tags = sitk.ReadImage(str(file))
    grey = chaos_volume(1)[3].astype(np.uint8)
    colour = sitk.GetImageFromArray(np.stack([grey] * 3, -1), isVector=True)
    colour.SetSpacing((1.5, 1.25))
    for key in ("0008|0060", "0020|0032", "0020|0037", "0020|0052"):
        colour.SetMetaData(key, tags.GetMetaData(key))
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(file))
    writer.Execute(colour)
    assert run_convert("folder", "-i", source, "-d", 505, "--modality", "T1=*/T1/") == 1
    assert converted(raw) == ["p1"]
    assert "IMG-00003.dcm is in colour (3 values a pixel)" in left_out(raw)["p2"][0]


@pytest.mark.parametrize("error", [ValueError("odd"), KeyError("tag"), MemoryError(), RecursionError()])
def test_what_nobody_has_thought_of(source: Path, raw: Path, monkeypatch, error: Exception) -> None:
    for case in "ab":
        pair(source, case)
    load: Callable[[ImageFile], sitk.Image] = ImageFile.load

    def odd(scan: ImageFile) -> sitk.Image:
        if scan.path.name == "a_flair.nii.gz":
            raise error
        return load(scan)

    monkeypatch.setattr(ImageFile, "load", odd)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 1
    assert converted(raw) == ["b"]
    assert left_out(raw)["a"] == [
        f"FLAIR: {source / 'a_flair.nii.gz'} cannot be read ({type(error).__name__}: {error})"
    ]


def test_files_that_vanish_or_cannot_be_asked_for(source: Path, raw: Path, monkeypatch) -> None:
    for case in "ab":
        pair(source, case)
    exists = Path.exists

    def refused(path: Path) -> bool:
        if path.name == "a_t1.nii.gz":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(Path, "exists", refused)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 1
    assert converted(raw) == ["b"]
    assert "Permission denied" in left_out(raw)["a"][0]


def test_links_to_themselves(source: Path, raw: Path) -> None:
    pair(source, "ok")
    pair(source, "a")
    (source / "a_t1.nii.gz").unlink()
    (source / "a_t1.nii.gz").symlink_to(source / "a_t1.nii.gz")
    (source / "folder").symlink_to(source / "folder")
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 1
    assert converted(raw) == ["ok"]
    assert "is a link to nothing" in left_out(raw)["a"][0]


def test_folders_that_cannot_be_searched(source: Path, raw: Path, capsys, monkeypatch) -> None:
    pair(source, "ok")
    pair(source / "closed", "a")
    write_series(source / "p1" / "T1", chaos_volume())
    scandir, iterdir = os.scandir, Path.iterdir

    def refuse(path: object) -> None:
        if Path(str(path)).name in ("closed", "T1"):
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", lambda path: (refuse(path), scandir(path))[1])
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 0
    assert converted(raw) == ["ok"]
    assert f"'{source / 'closed'}'" in capsys.readouterr().err
    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(Path, "iterdir", lambda path: (refuse(path), iterdir(path))[1])
    with pytest.raises(InputError, match=r"nothing was written\nleft out: 1 cases\n  p1: .*Permission denied"):
        run_convert("folder", "-i", source, "-d", 506, "--modality", "T1=*/T1/")


def test_files_that_vanish_before_they_are_read(source: Path, raw: Path, monkeypatch) -> None:
    for case in "ab":
        pair(source, case)
    checked = WorkFolder.checked

    def vanishing(work: WorkFolder, case: Case) -> CheckedCase | None:
        if case.name == "a":
            raise FileNotFoundError(2, "No such file or directory", "a_t1.nii.gz")
        return checked(work, case)

    monkeypatch.setattr(WorkFolder, "checked", vanishing)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 1
    assert converted(raw) == ["b"]
    assert "its files cannot be found any more" in left_out(raw)["a"][0]


def test_a_file_whose_name_is_nothing_but_the_ending(source: Path, raw: Path, capsys) -> None:
    pair(source, "a")
    write(source / "_t1.nii.gz", image(9))
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 1
    assert converted(raw) == ["a"]
    assert "_t1.nii.gz: it matches '*_t1.nii.gz', but its * matches nothing" in capsys.readouterr().out


def test_a_name_without_a_patient(source: Path, raw: Path) -> None:
    for case in ("p1_a", "p1_b", "other"):
        pair(source, case)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, "--patient", r"(p\d)_") == 1
    assert converted(raw) == ["p1_a", "p1_b"]
    assert "finds no patient in the case name 'other'" in left_out(raw)["other"][0]


def test_a_table_of_grades_that_cannot_be_read(source: Path, raw: Path, capsys) -> None:
    write_case(source, "2021", "BraTS2021_00001")
    (source / "name_mapping.csv").write_bytes("Grade,Näme\nHGG,BraTS2021_00001\n".encode("latin-1"))
    assert run_convert("brats", "-i", source, "-d", 501) == 0
    assert "name_mapping.csv cannot be read, so its grades are not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"case,patient,modality,path\n\na\0b,,T1,a_t1.nii.gz\n", r"t\.csv, line 3 holds '\\x00'"),
        (b"case,patient,modality,path\nM\xfcller,,T1,a_t1.nii.gz\n", r"t\.csv is not UTF-8.*save it as CSV in UTF-8"),
        (
            b"case,patient,modality,path\n\n\na,,T1,none.nii.gz\na,,,a_t1.nii.gz\n",
            r"t\.csv, line 5: case, modality and",
        ),
        (b"case,patient,modality,path\na,,T1,a_t1.nii.gz,x\n", r"line 2: 5 cells, but 4 columns"),
        (
            b"case,patient,modality,path\na,P,T1,a_t1.nii.gz\na,,FLAIR,a_flair.nii.gz\n",
            r"line 3: case a is of P and of nobody",
        ),
    ],
)
def test_tables_that_cannot_be_read(source: Path, raw: Path, content: bytes, complaint: str) -> None:
    pair(source, "a")
    (source / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=complaint):
        run_convert("folder", "-i", source, "-d", 505, "--csv", source / "t.csv")


def test_a_prediction_that_cannot_be_read(raw: Path, source: Path, tmp_path: Path, capsys) -> None:
    write_case(source, "2021", "BraTS2021_00001")
    assert run_convert("brats", "-i", source, "-d", 501, "--labels", "classes") == 0
    write(tmp_path / "predictions" / "a.nii.gz", segmentation(1, 3))
    (tmp_path / "predictions" / "b.nii.gz").write_bytes(b"nothing")
    sitk.WriteImage(
        sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True),
        str(tmp_path / "predictions" / "c.nii.gz"),
    )
    assert run_convert("brats", "--back", "-i", tmp_path / "predictions", "-d", 501, "-o", tmp_path / "out") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz"]
    assert "left out: 2" in capsys.readouterr().out
