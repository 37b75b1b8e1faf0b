"""Images that are written whole or not at all."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import whole_file
from nnssl_plugin.images.file_names import is_utf8, printable
from nnssl_plugin.images.image_file import geometry_differences, read_checked_header


def write_image(image: sitk.Image, path: Path, compression_level: int = -1) -> None:
    """Write an image, compressed, and read it back, so that `path` holds all of it or what it held before.

    ITK does not report a failed write of a NIfTI file (its issue 1958): on a full disk it leaves half of it.

    Args:
        image: 2-D to 4-D, finite.
        path: where to; its ending says the format.
        compression_level: ITK's; -1 for the default of the format.

    Raises:
        OSError: what is in the file is not the image; the error names `path`, and the file is removed.
    """
    # SimpleITK ends the whole process over such a name.
    if not is_utf8(str(path)):
        raise OSError(f"{printable(path)} could not be written: its name is not UTF-8")
    with whole_file(path) as unfinished:
        try:
            sitk.WriteImage(image, str(unfinished), True, compression_level)
            header = read_checked_header(unfinished, image.GetDimension())
            back = sitk.ReadImage(str(unfinished))
        except (RuntimeError, InputError) as error:
            reason = str(error).strip().splitlines()[-1].replace(unfinished.name, path.name)
            raise OSError(f"{path} could not be written: is the disk full? ({reason})") from None
        differences = geometry_differences(image, header)
        if not np.array_equal(sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(image)):
            differences.append("its voxels are others")
        if differences:
            raise OSError(f"{path} could not be written: read back, {'; '.join(differences)}")
