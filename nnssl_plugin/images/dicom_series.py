"""A DICOM series as one 3-D image, by the positions and orientations in its headers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.file_names import is_utf8, printable
from nnssl_plugin.images.image_file import DIRECTION_TOLERANCE
from nnssl_plugin.images.stated_spacing import dicom_pixel_spacing
from nnssl_plugin.images.unequal_texts import unequal_texts

POSITION, ORIENTATION, ECHO_TIME_MS, FRAME_OF_REFERENCE = "0020|0032", "0020|0037", "0018|0081", "0020|0052"
# MR, CT, CR, …: the machine, not what is a modality elsewhere here.
MACHINE = "0008|0060"
# Between slices, as a share of the median distance: what rounding in headers makes, not a slice left out.
DISTANCE_TOLERANCE = 0.01
# Of the positions of one acquisition, as a share of the smallest edge of a pixel.
ROUNDING = 0.1


@dataclass(frozen=True)
class SliceHeader:
    """`position`: of the first voxel, in mm. `orientation`: direction cosines of rows and columns. `spacing`: in mm."""

    file: Path
    position: npt.NDArray
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    size: tuple[int, int]
    tags: dict[str, str]


def read_slices(files: Sequence[Path]) -> list[SliceHeader]:
    """Headers of the slices of one series, along the slice normal: neither file names nor series UIDs are trusted.

    Raises:
        InputError: a file is no DICOM slice, or the slices are not one stack at equal distances.
    """
    slices = [_read_header(file) for file in files]
    first = slices[0]
    for other in slices[1:]:
        for what, theirs, ours, is_equal in (
            ("size", other.size, first.size, other.size == first.size),
            ("orientation", other.orientation, first.orientation, _close(other.orientation, first.orientation)),
            ("pixel spacing", other.spacing, first.spacing, np.allclose(other.spacing, first.spacing, rtol=1e-4)),
        ):
            if not is_equal:
                shown, expected = unequal_texts(theirs, ours)
                raise InputError(
                    f"{other.file} and {first.file} differ in {what}, {shown} and {expected}: are they of two series?"
                )
    normal = _normal(first.orientation)
    slices.sort(key=lambda header: float(header.position @ normal))
    if len(slices) < 2:
        raise InputError(f"{first.file} is the only slice of its series; a volume is expected")
    steps = np.diff([header.position for header in slices], axis=0)
    distances = steps @ normal
    median = float(np.median(distances))
    for before, after, distance in zip(slices, slices[1:], distances, strict=False):
        if distance < DISTANCE_TOLERANCE * max(median, 1e-3):
            raise InputError(f"{before.file} and {after.file} lie at one position: two series or echoes in one folder?")
        if abs(distance - median) > DISTANCE_TOLERANCE * median:
            found, expected = unequal_texts(distance, median)
            raise InputError(
                f"between {before.file} and {after.file} are {found} mm, between most slices {expected} mm: a slice is "
                "missing, or the distances are uneven"
            )
    if np.abs(steps - distances[:, None] * normal).max() > DISTANCE_TOLERANCE * median:
        raise InputError(
            f"the slices of {first.file.parent} are shifted against each other (gantry tilt): resample them to .nii.gz first"
        )
    return slices


def load_series(files: Sequence[Path], grid: Sequence[SliceHeader] | None = None) -> sitk.Image:
    """The volume of a series, with the geometry of the slices `grid` where they are given.

    Raises:
        InputError: as `read_slices`, or the voxels of a slice cannot be read.
    """
    slices = read_slices(files)
    return volume_from_slices(grid or slices, np.stack([_pixels(header.file) for header in slices]))


def shift_by_rounding(slices: Sequence[SliceHeader], others: Sequence[SliceHeader]) -> float | None:
    """Largest distance in mm between the slices of two series of one acquisition.

    Returns:
        None where it is more than rounding makes of it, or anything else of their grids differs.
    """
    (first, *_), (other, *_) = slices, others
    if (
        (len(slices), first.size) != (len(others), other.size)
        or not _close(first.orientation, other.orientation)
        or not np.allclose(first.spacing, other.spacing, rtol=1e-4)
    ):
        return None
    shift = max(float(np.linalg.norm(a.position - b.position)) for a, b in zip(slices, others, strict=True))
    return shift if shift <= ROUNDING * min(other.spacing) else None


def read_tags(file: Path) -> dict[str, str]:
    """The header of a slice, by tags like `0008|0060`.

    Raises:
        InputError: as `read_slices`.
    """
    return _read_header(file).tags


def volume_from_slices(slices: Sequence[SliceHeader], voxels: npt.NDArray) -> sitk.Image:
    """`voxels` `[Z, Y, X]` with the geometry of `slices`, which are in the order of Z."""
    first, last = slices[0], slices[-1]
    normal = _normal(first.orientation)
    image = sitk.GetImageFromArray(voxels)
    image.SetOrigin(first.position.tolist())
    distance = float((last.position - first.position) @ normal) / (len(slices) - 1)
    image.SetSpacing([*first.spacing, distance])
    image.SetDirection(np.stack([first.orientation[:3], first.orientation[3:], normal], axis=1).ravel().tolist())
    return image


def _normal(orientation: Sequence[float]) -> npt.NDArray:
    return np.cross(orientation[:3], orientation[3:])


def _close(first: Sequence[float], second: Sequence[float]) -> bool:
    return bool(np.allclose(first, second, atol=DIRECTION_TOLERANCE))


def _read_header(file: Path) -> SliceHeader:
    if not is_utf8(str(file)):
        raise InputError(f"{printable(file)} has a name that is not UTF-8: rename it")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(file))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(f"{file} cannot be read: {str(error).strip().splitlines()[-1]}") from None
    tags = {key: reader.GetMetaData(key).strip() for key in reader.GetMetaDataKeys()}
    position, orientation = _numbers(tags, POSITION), _numbers(tags, ORIENTATION)
    depth = reader.GetSize()[2:]
    if len(position) != 3 or len(orientation) != 6 or depth not in ((), (1,)):
        raise InputError(f"{file} is not one DICOM slice with a position and an orientation")
    if reader.GetNumberOfComponents() != 1:
        raise InputError(
            f"{file} is in colour ({reader.GetNumberOfComponents()} values a pixel); expected a grey image"
        )
    columns, rows = reader.GetSize()[:2]
    spacing = dicom_pixel_spacing(file, reader)
    return SliceHeader(file, np.array(position), tuple(orientation), spacing, (columns, rows), tags)


def _numbers(tags: dict[str, str], tag: str) -> list[float]:
    try:
        return [float(text) for text in tags.get(tag, "").split("\\")]
    except ValueError:
        return []


def _pixels(file: Path) -> npt.NDArray:
    try:
        pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
    except RuntimeError as error:
        raise InputError(f"{file} is truncated or damaged: {str(error).strip().splitlines()[-1]}") from None
    return pixels.reshape(pixels.shape[-2:])
