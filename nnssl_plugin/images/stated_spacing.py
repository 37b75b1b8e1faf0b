"""Images whose files do not say how large a voxel is: SimpleITK, and so nnU-Net, reads them as of 1 mm."""

import gzip
import math
import re
import struct
from collections.abc import Sequence
from pathlib import Path

import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.nifti_header import is_nifti, read_nifti_header

# Rows, in every DICOM image; its pixel spacing; number of frames.
ROWS, PIXEL_SPACING, FRAMES = "0028|0010", "0028|0030", "0028|0008"
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif")
ADVICE = "find out what it is and write the image as .nii.gz with it, for example with SimpleITK's SetSpacing"


def check_spacing_is_stated(path: Path, header: sitk.ImageFileReader) -> None:
    """Check that a file says what its spacing is, along every axis of more than one voxel.

    Args:
        path: of a 3-D or 4-D image.
        header: as SimpleITK has read it.

    Raises:
        InputError: it does not.
    """
    if is_nifti(path):
        _check(path, "pixdim", read_nifti_header(path).spacing, header)
    elif header.HasMetaDataKey(ROWS):
        _check_dicom(path, header)
    elif path.name.lower().endswith((".gipl", ".gipl.gz")):
        _check(path, "pixel dimensions", struct.unpack(">3f", _start(path)[10:22]), header)
    elif (missing := _missing_entry(path)) is not None:
        raise InputError(f"{path} does not say how large its voxels are{missing}: {ADVICE}")


def dicom_pixel_spacing(path: Path, header: sitk.ImageFileReader) -> tuple[float, float]:
    """Distance of columns and of rows (X, Y) in mm, in the patient.

    Raises:
        InputError: the file does not say so. Radiographs (CR, DX) often state only the spacing at the detector, which
            is not that in the patient.
    """
    text = header.GetMetaData(PIXEL_SPACING) if header.HasMetaDataKey(PIXEL_SPACING) else ""
    try:
        rows, columns = (float(number) for number in text.split("\\"))
    except ValueError:
        rows = columns = 0.0
    if not all(math.isfinite(number) and number > 0 for number in (rows, columns)):
        found = f"it is {text.strip()!r}" if text.strip() else "there is none"
        raise InputError(
            f"{path} does not say how large its pixels are (PixelSpacing, 0028,0030: {found}): find out what it is and "
            "write it into the header of every slice"
        )
    return columns, rows


def _check_dicom(path: Path, header: sitk.ImageFileReader) -> None:
    frames = header.GetMetaData(FRAMES).strip() if header.HasMetaDataKey(FRAMES) else ""
    if frames not in ("", "1") or math.prod(header.GetSize()[2:]) > 1:
        raise InputError(
            f"{path} is a DICOM file of several frames, whose distances cannot be read here: convert it to .nii.gz first, "
            "for example with dcm2niix"
        )
    dicom_pixel_spacing(path, header)


def _check(path: Path, what: str, spacing: Sequence[float], header: sitk.ImageFileReader) -> None:
    edges = [edge for edge, voxels in zip(spacing, header.GetSize(), strict=False) if voxels > 1]
    if not all(math.isfinite(edge) and edge != 0 for edge in edges):
        shown = ", ".join(f"{edge:g}" for edge in spacing)
        raise InputError(f"{path} does not say how large its voxels are ({what} {shown}): {ADVICE}")


def _missing_entry(path: Path) -> str | None:
    """What is missing, for the message; None where the spacing is stated, or the format is one that always states it."""
    name = path.name.lower()
    if name.endswith((".mha", ".mhd")):
        entries = _start(path).partition(b"ElementDataFile")[0]
        return None if re.search(rb"^\s*Element(Spacing|Size)\s*=", entries, re.MULTILINE) else " (no ElementSpacing)"
    if name.endswith((".nrrd", ".nhdr")):
        entries = re.split(rb"\r?\n\r?\n", _start(path))[0].lower()
        stated = re.search(rb"^(spacings|space directions):(?!.*nan).*\d", entries, re.MULTILINE)
        return None if stated else " (neither spacings nor space directions)"
    return "" if name.endswith(PICTURES) else None


def _start(path: Path) -> bytes:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        return stream.read(1 << 16)
