"""Natural images (PNG, JPEG, BMP, TIFF) as volumes of one slice, which nnU-Net's 2d configuration takes."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from PIL import Image, ImageOps, UnidentifiedImageError

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.file_names import printable

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
COLOURS = ("R", "G", "B")
GREY = ("1", "L", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def is_picture(path: Path) -> bool:
    """Whether a file is called like one."""
    return path.suffix.lower() in ENDINGS


def read_picture(path: Path, channel: int | None = None) -> sitk.Image:
    """A picture as a volume of one slice, turned as its EXIF data say; its spacing is nominal, 1 a pixel.

    Args:
        path: of the file.
        channel: 0 to 2 of a colour picture; None for one that is grey, as some are that are stored in colour.

    Raises:
        InputError: it cannot be read or is truncated, holds several pictures, is transparent in parts, is not in grey or RGB,
            or is in colour where grey is expected.
    """
    pixels = _pixels(path)
    if pixels.ndim == 3 and channel is not None:
        pixels = pixels[..., channel]
    elif pixels.ndim == 3:
        if not (pixels == pixels[..., :1]).all():
            raise InputError(
                f"{printable(path)} is in colour: take its channels as modalities R, G and B with --modality 'RGB=PATTERN'"
            )
        pixels = pixels[..., 0]
    volume = sitk.GetImageFromArray(np.ascontiguousarray(pixels)[None])
    volume.SetSpacing((1.0, 1.0, 1.0))
    return volume


def _pixels(path: Path) -> npt.NDArray:
    """`[Y, X]`, or `[Y, X, 3]` in colour."""
    try:
        with Image.open(path) as opened:
            if (frames := getattr(opened, "n_frames", 1)) > 1:
                raise InputError(f"{printable(path)} holds {frames} pictures; expected one in a file")
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"{printable(path)} is truncated, damaged or no picture: {error}") from None
    if picture.mode == "P":
        picture = picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    if picture.mode in ("LA", "RGBA", "PA"):
        colour = picture.convert("RGBA")
        if np.asarray(colour)[..., 3].min() < 255:
            raise InputError(f"{printable(path)} is transparent in parts: flatten it onto a background first")
        picture = colour.convert("RGB")
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode not in (*GREY, "RGB"):
        raise InputError(f"{printable(path)} is in {picture.mode} colours; expected grey or RGB: convert it first")
    return np.asarray(picture)
