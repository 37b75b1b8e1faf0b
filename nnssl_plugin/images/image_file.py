import gzip
import io
import math
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from nnunetv2.imageio.nibabel_reader_writer import NibabelIO
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.file_names import is_utf8, printable
from nnssl_plugin.images.nifti_header import is_nifti
from nnssl_plugin.images.stated_spacing import check_spacing_is_stated
from nnssl_plugin.images.unequal_texts import unequal_texts

FILE_ENDINGS = tuple(dict.fromkeys([*SimpleITKIO.supported_file_endings, *NibabelIO.supported_file_endings]))

# nnU-Net refuses spacings that differ by more than 1e-5 of their value and only warns about origin and direction;
# the other two leave room for headers that were rounded, at most a hundredth of a millimetre in a head.
SPACING_TOLERANCE = 1e-5
ORIGIN_TOLERANCE_MM = 0.01
DIRECTION_TOLERANCE = 1e-4
# NIfTI's codes of float types, and its first four bytes, 348, in the rarer byte order.
FLOATS = {"16": "f4", "64": "f8"}
NIFTI1_BIG_ENDIAN = (348).to_bytes(4, "big")


def ending_of(name: str, endings: Sequence[str] = FILE_ENDINGS) -> str | None:
    """The longest one of `endings` that a file name has: `.nii.gz` is not a kind of `.gz`."""
    return max((ending for ending in endings if name.endswith(ending)), key=len, default=None)


def read_header(path: Path, dimensions: int = 3) -> sitk.ImageFileReader:
    """Reader that holds the header of an image and not its voxels.

    Raises:
        InputError: the file is no image, or not one of so many dimensions and one component.
    """
    _check_name(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read: {_last_line(error)}") from None
    if reader.GetDimension() != dimensions or reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{path} has {reader.GetDimension()} dimensions and {reader.GetNumberOfComponents()} components a voxel; "
            f"expected a {dimensions}-D image of one component"
        )
    return reader


def read_checked_header(path: Path, dimensions: int = 3) -> sitk.ImageFileReader:
    """As `read_header`, for an image whose voxels are all there.

    SimpleITK, and so nnU-Net, reads a truncated NIfTI file without a word and fills in zeros or noise: the file is
    unpacked here once, which compares its length and its checksum.

    Raises:
        InputError: as `read_header`, or the file is truncated or damaged, or does not state its spacing, or a NIfTI file
            holds NaN, or its header lies in a file of its own, so that all this cannot be checked.
    """
    if path.suffix.lower() in (".hdr", ".img"):
        raise InputError(f"{path} is one of a pair of .hdr and .img: convert it to .nii.gz first")
    header = read_header(path, dimensions)
    try:
        check_spacing_is_stated(path, header)
        if not is_nifti(path):
            sitk.ReadImage(str(path))
            return header
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            length, finite = _scan_nifti(stream, header)
    except RuntimeError:
        # What ITK says of it ("No such file or directory") misleads.
        raise InputError(f"{path} is truncated or damaged") from None
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path} is truncated or damaged: {_last_line(error)}") from None
    voxels = math.prod(header.GetSize()) * int(header.GetMetaData("bitpix")) // 8
    expected = int(float(header.GetMetaData("vox_offset"))) + voxels
    if length < expected:
        raise InputError(f"{path} is truncated: it holds {length} bytes, its header announces {expected}")
    if not finite:
        raise InputError(
            f"{path} holds NaN or infinite values, in whose place nnU-Net would read 0; repair or remove it"
        )
    return header


def _scan_nifti(stream: io.BufferedIOBase, header: sitk.ImageFileReader) -> tuple[int, bool]:
    """Length of an unpacked NIfTI file in bytes, and whether its voxels are finite; reading would hide that.

    The reader of SimpleITK puts 0 in the place of NaN and infinity.
    """
    kind = FLOATS.get(header.GetMetaData("datatype"))
    start, length, finite, rest = int(float(header.GetMetaData("vox_offset"))), 0, True, b""
    order = "<"
    while chunk := stream.read(1 << 20):
        if length == 0 and chunk[:4] == NIFTI1_BIG_ENDIAN:
            order = ">"
        if kind:
            voxels = rest + chunk[max(0, start - length) :]
            whole = len(voxels) - len(voxels) % int(kind[1:])
            finite = finite and bool(np.isfinite(np.frombuffer(voxels[:whole], order + kind)).all())
            rest = voxels[whole:]
        length += len(chunk)
    return length, finite


def geometry_differences(
    reference: sitk.ImageFileReader | sitk.Image, other: sitk.ImageFileReader | sitk.Image
) -> list[str]:
    """What of the geometry of `other` is not that of `reference`, with both values, and by how much; empty if equal."""
    if reference.GetSize() != other.GetSize():
        theirs, ours = unequal_texts(other.GetSize(), reference.GetSize())
        return [f"size {theirs} instead of {ours} voxels"]
    differences = []
    for what, ours, theirs, tolerance, unit in (
        ("spacing", reference.GetSpacing(), other.GetSpacing(), SPACING_TOLERANCE * min(reference.GetSpacing()), " mm"),
        ("origin", reference.GetOrigin(), other.GetOrigin(), ORIGIN_TOLERANCE_MM, " mm"),
        ("direction", reference.GetDirection(), other.GetDirection(), DIRECTION_TOLERANCE, ""),
    ):
        distance = float(np.max(np.abs(np.subtract(ours, theirs))))
        if distance > tolerance:
            shown, expected = unequal_texts(theirs, ours)
            differences.append(f"{what} {shown} instead of {expected}: differs by up to {distance:.6g}{unit}")
    return differences


def read_array(path: Path) -> np.ndarray:
    """Voxels of an image as `[Z, Y, X]`."""
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def _check_name(path: Path) -> None:
    # SimpleITK ends the whole process over such a name.
    if not is_utf8(str(path)):
        raise InputError(f"{printable(path)} has a name that is not UTF-8: rename it")


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1]
