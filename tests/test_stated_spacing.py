"""A spacing that a file does not state is refused, never taken as 1 mm."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.dicom_series import read_slices
from nnssl_plugin.images.image_file import read_checked_header
from tests.dicom_trees import write_series
from tests.scans import SHAPE, image, run_convert, write

SPACING = (1.5, 1.25, 3.0)


def pixdim_0(path: Path) -> None:
    header = bytearray(path.read_bytes())
    header[88:92] = struct.pack("<f", 0)
    path.write_bytes(header)


def pixdim_nan(path: Path) -> None:
    header = bytearray(path.read_bytes())
    header[80:84] = struct.pack("<f", np.nan)
    path.write_bytes(header)


def without_line(pattern: bytes) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        path.write_bytes(re.sub(pattern + rb"[^\n]*\n", b"", path.read_bytes()))

    return remove


def gipl_0(path: Path) -> None:
    header = bytearray(path.read_bytes())
    header[18:22] = struct.pack(">f", 0)
    path.write_bytes(header)


@pytest.mark.parametrize(
    ("ending", "remove", "complaint"),
    [
        (".nii", pixdim_0, r"\(pixdim 1.5, 1.25, 0\)"),
        (".nii", pixdim_nan, r"\(pixdim nan, 1.25, 3\)"),
        (".mha", without_line(b"ElementSpacing"), "no ElementSpacing"),
        (".nrrd", without_line(b"space directions"), "neither spacings nor space directions"),
        (".gipl", gipl_0, r"\(pixel dimensions 1.5, 1.25, 0\)"),
        (".tif", lambda _: None, "write the image as .nii.gz"),
    ],
)
def test_files_that_do_not_state_it(
    tmp_path: Path, ending: str, remove: Callable[[Path], None], complaint: str
) -> None:
    path = write(tmp_path / f"a{ending}", image(), SPACING)
    if ending != ".tif":
        assert read_checked_header(path).GetSpacing() == pytest.approx(SPACING)
    remove(path)
    with pytest.raises(InputError, match=rf"a\{ending} does not say how large its voxels are.*{complaint}"):
        read_checked_header(path)


def test_one_slice_has_no_distance_to_state(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", image()[:1], SPACING)
    pixdim_0(path)
    assert read_checked_header(path).GetSize() == (8, 7, 1)


def test_a_negative_spacing_is_stated(tmp_path: Path) -> None:
    made = nib.Nifti1Image(image().transpose(2, 1, 0), None)
    made.header["pixdim"][1:4] = (-1.5, 1.25, 3)
    (tmp_path / "a.nii").write_bytes(made.header.binaryblock + bytes(4) + made.get_fdata().astype("<i2").tobytes("F"))
    assert read_checked_header(tmp_path / "a.nii").GetSize() == tuple(reversed(SHAPE))


def blank_pixel_spacing(file: Path) -> None:
    content = file.read_bytes()
    assert content.count(b"1.25\\1.5") == 1
    file.write_bytes(content.replace(b"1.25\\1.5", b" " * 8))


def test_a_series_without_pixel_spacing(tmp_path: Path) -> None:
    files = write_series(tmp_path, image(), spacing=(1.5, 1.25, 4.0))
    assert read_slices(files)[0].spacing == (1.5, 1.25), "of columns, then of rows"
    blank_pixel_spacing(files[2])
    with pytest.raises(InputError, match=r"IMG-00002.dcm does not say how large its pixels are \(PixelSpacing"):
        read_slices(files)


def test_several_frames_in_one_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", image().astype(np.uint16), SPACING)
    with pytest.raises(InputError, match=r"DICOM file of several frames.*dcm2niix"):
        read_checked_header(path)


def test_a_radiograph_states_the_spacing_at_its_detector_only(tmp_path: Path) -> None:
    radiograph = sitk.GetImageFromArray(image()[0].astype(np.uint16))
    radiograph.SetSpacing((0.2, 0.1))
    radiograph.SetMetaData("0008|0060", "CR")
    radiograph.SetMetaData("0008|0016", "1.2.840.10008.5.1.4.1.1.1")
    sitk.WriteImage(radiograph, str(tmp_path / "a.dcm"))
    with pytest.raises(
        InputError, match=r"does not say how large its pixels are \(PixelSpacing, 0028,0030: there is none"
    ):
        read_checked_header(tmp_path / "a.dcm")


def test_it_costs_the_case_only(nnunet_folders: Path, tmp_path: Path, capsys) -> None:
    for case in "ab":
        write(tmp_path / "scans" / f"{case}_t1.nii", image(case=case), SPACING)
    pixdim_0(tmp_path / "scans" / "a_t1.nii")
    assert run_convert("folder", "-i", tmp_path / "scans", "-d", 505, "--modality", "T1=*_t1.nii") == 1
    output = capsys.readouterr().out
    assert "1 unlabelled cases" in output
    assert "of 1.5 x 1.25 x 3 mm" in output
    assert "a: T1: " in output
