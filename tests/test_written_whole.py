"""Written means read back: where a write fails, the file is named and gone, and the exit code says so.

A limit on the size of files stands for the full disk: ITK says nothing of either.
"""

import gzip
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.cli import main
from nnssl_plugin.images.write_image import write_image
from tests.scans import brats_case, files_of, names_in, read, run_convert, segmentation, write

resource = pytest.importorskip("resource")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def noise(shape: tuple[int, ...] = (20, 30, 40), seed: int = 0, top: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape).astype(np.uint8)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_an_image_that_does_not_fit_is_named_and_removed(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    image = sitk.GetImageFromArray(noise(top=256))
    with room_for(5000), pytest.raises(OSError, match=rf"a{ending.replace('.', '[.]')} could not be written"):
        write_image(image, path)
    assert names_in(tmp_path) == []
    write_image(image, path)
    np.testing.assert_array_equal(read(path), noise(top=256))
    with room_for(5000), pytest.raises(OSError, match="could not be written"):
        write_image(image + 1, path)
    np.testing.assert_array_equal(read(path), noise(top=256)), "what was there before stays"


def test_a_file_cut_where_only_zeros_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader fills in zeros: comparing voxels alone would not notice."""
    real = sitk.WriteImage

    def cut(image: sitk.Image, name: str, *arguments: object) -> None:
        real(image, name, *arguments)
        Path(name).write_bytes(Path(name).read_bytes()[:-30])

    monkeypatch.setattr(sitk, "WriteImage", cut)
    with pytest.raises(OSError, match=r"a\.nii could not be written: is the disk full\?.*truncated"):
        write_image(sitk.GetImageFromArray(np.zeros((4, 4, 4), np.uint8)), tmp_path / "a.nii")
    assert names_in(tmp_path) == []


def another_spacing(image: sitk.Image) -> sitk.Image:
    copy = image + 0
    copy.SetSpacing((1, 1, 2))
    return copy


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda image: image + 1, "its voxels are others"), (another_spacing, r"spacing \(1, 1, 2\) instead of")],
)
def test_what_is_read_back_is_compared(tmp_path: Path, monkeypatch, change, said: str) -> None:
    real = sitk.WriteImage
    monkeypatch.setattr(sitk, "WriteImage", lambda image, *arguments: real(change(image), *arguments))
    with pytest.raises(OSError, match=rf"a\.nii\.gz could not be written: read back, {said}"):
        write_image(sitk.GetImageFromArray(noise()), tmp_path / "a.nii.gz")
    assert names_in(tmp_path) == []


def test_an_ending_that_no_writer_knows(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.xyz could not be written"):
        write_image(sitk.GetImageFromArray(noise()), tmp_path / "a.xyz")


@pytest.mark.skipif(os.name == "nt", reason="names are not bytes there")
def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller.nii.gz"))
    with pytest.raises(OSError, match=r"M\\xfcller\.nii\.gz could not be written: its name is not UTF-8"):
        write_image(sitk.GetImageFromArray(noise()), path)


def test_predictions_that_do_not_fit(raw: Path, tmp_path: Path, capsys) -> None:
    for number in range(2):
        case = f"BraTS2021_{number:05d}"
        brats_case(tmp_path / "scans", case, None)
        for seed, suffix in enumerate(("t1", "t1ce", "t2", "flair")):
            write(tmp_path / "scans" / case / f"{case}_{suffix}.nii.gz", noise((6, 7, 8), seed + 10 * number, 200))
        write(tmp_path / "scans" / case / f"{case}_seg.nii.gz", segmentation(1, 2, 4))
    for file in (tmp_path / "scans").rglob("*-t*.nii.gz"):
        file.unlink()
    assert run_convert("brats", "-i", tmp_path / "scans", "-d", 501, "--labels", "classes") == 0
    small = write(tmp_path / "predictions" / "a.nii.gz", segmentation(1, 2, 3))
    write(tmp_path / "predictions" / "b.nii.gz", noise())
    output = tmp_path / "output"
    capsys.readouterr()
    with room_for(5000):
        assert main(["convert", "brats", "-d", "501", "--back", "-i", str(small.parent), "-o", str(output)]) == 1
    said = capsys.readouterr().out
    assert "1 predictions by BraTS 2021" in said
    assert f"left out: 1\n  b.nii.gz: {output / 'b.nii.gz'} could not be written" in said
    assert names_in(output) == ["a.nii.gz"]
    np.testing.assert_array_equal(read(output / "a.nii.gz"), segmentation(1, 2, 4))


@pytest.mark.parametrize("how", [(), ("--copy",)])
def test_a_conversion_that_does_not_fit_goes_on_later(raw: Path, tmp_path: Path, capsys, how: tuple[str, ...]) -> None:
    ending = ".nii.gz" if how else ".nhdr"
    for case in "ab":
        write(tmp_path / "scans" / f"{case}_t1{ending}", noise(seed=ord(case), top=200))
    arguments = [
        "convert",
        "folder",
        "-i",
        str(tmp_path / "scans"),
        "-d",
        "505",
        "--modality",
        f"T1=*_t1{ending}",
        *how,
    ]
    with room_for(5000):
        assert main(arguments) == 2
    error = capsys.readouterr().err
    assert ".nii.gz" in error
    assert "Traceback" not in error
    assert [path.name for path in raw.iterdir() if not path.name.startswith(".")] == []
    assert main(arguments) == 0
    (made,) = raw.glob("Dataset*")
    for case in "ab":
        np.testing.assert_array_equal(read(files_of(made, case)[0][0]), noise(seed=ord(case), top=200))
        gzip.decompress(files_of(made, case)[1].read_bytes())


def test_a_copy_is_compared(raw: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    write(tmp_path / "scans" / "a_t1.nii.gz", noise())
    copy = shutil.copyfile

    def cut(source: str, target: Path) -> None:
        copy(source, target)
        target.write_bytes(target.read_bytes()[:-1] + b"x")

    arguments = [
        "convert",
        "folder",
        "-i",
        str(tmp_path / "scans"),
        "-d",
        "505",
        "--copy",
        "--modality",
        "T1=*_t1.nii.gz",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", cut)
        assert main(arguments) == 2
    assert "a_0000.nii.gz could not be written: read back, it is not" in capsys.readouterr().err
    assert list(raw.rglob("*a_0000.nii.gz")) == []
    assert main(arguments) == 0


def test_files_that_change_between_check_and_writing(raw: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    for case in "ab":
        write(tmp_path / "scans" / f"{case}_t1.nhdr", noise(seed=ord(case)))
    arguments = ["convert", "folder", "-i", str(tmp_path / "scans"), "-d", "505", "--modality", "T1=*_t1.nhdr"]
    with monkeypatch.context() as patch:
        patch.setattr(
            "nnssl_plugin.conversion.write_case.CaseWriter.reference", property(lambda _: sitk.ReadImage("none"))
        )
        assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "could not be written" in error
    assert "run the same command again" in error
    assert main(arguments) == 0
    assert "continuing the interrupted conversion" in capsys.readouterr().out


def test_a_description_that_does_not_fit(raw: Path, tmp_path: Path, capsys) -> None:
    for number in range(40):
        write(tmp_path / "scans" / f"case{number}_t1.nii.gz", noise((3, 4, 5), number, 200))
    arguments = ["convert", "folder", "-i", str(tmp_path / "scans"), "-d", "505", "--modality", "T1=*_t1.nii.gz"]
    with room_for(3000):
        assert main(arguments) == 2
    assert "dataset.json could not be written" in capsys.readouterr().err
    assert list(raw.glob("Dataset*")) == []
    assert main(arguments) == 0
