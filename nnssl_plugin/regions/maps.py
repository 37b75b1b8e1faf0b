"""Maps on the grid of the image that was given, as NIfTI and as pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from matplotlib import colormaps
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from PIL import Image

from nnssl_plugin.classification.image_grid import on_image_grid
from nnssl_plugin.files import whole_file
from nnssl_plugin.images.write_image import write_image

# How much of the image a map hides at its largest value.
OPACITY = 0.6


class ImageGrid:
    """The grid of an image file, and the way from its preprocessed copy back to it.

    Args:
        file: of the image.
        properties: that nnU-Net's preprocessor gave for it.
        plans: of the preprocessing.
        configuration: of the preprocessing.
    """

    def __init__(
        self, file: Path, properties: dict[str, Any], plans: PlansManager, configuration: ConfigurationManager
    ) -> None:
        self.reference = sitk.ReadImage(str(file))
        array = sitk.GetArrayFromImage(self.reference)
        if self.reference.GetNumberOfComponentsPerPixel() > 1:
            array = array.mean(axis=-1)
        flat = self.reference.GetDimension() == 2
        self.image: npt.NDArray = array[None] if flat else array
        self.properties, self.plans, self.configuration = properties, plans, configuration

    def back(self, volume: npt.NDArray) -> npt.NDArray[np.float32]:
        """A map of the preprocessed image, on this grid `[Z, Y, X]`."""
        whole = on_image_grid(volume, self.properties, self.plans, self.configuration)
        return np.asarray(whole, np.float32)

    def write(self, whole: npt.NDArray, file: Path) -> None:
        """Write a map of this grid as NIfTI."""
        written = sitk.GetImageFromArray(whole if self.reference.GetDimension() == 3 else whole[0])
        written.CopyInformation(self.reference)
        write_image(written, file)

    def grey(self, slice_number: int) -> npt.NDArray[np.uint8]:
        """`[Y, X]`, a slice of the image between its first and 99th percentile."""
        values = self.image[slice_number].astype(np.float32)
        low, high = np.percentile(values, [1, 99])
        scaled = np.clip((values - low) / max(float(high - low), 1e-6), 0, 1)
        return np.asarray((scaled * 255).round(), np.uint8)

    def overlay(self, whole: npt.NDArray, slice_number: int) -> npt.NDArray[np.uint8]:
        """`[Y, X, 3]`, a slice of the image under a map of this grid, whose largest value is bright."""
        values = whole[slice_number] / max(float(whole.max()), 1e-6)
        grey = np.repeat(self.grey(slice_number)[..., None] / 255, 3, axis=2)
        share = OPACITY * np.clip(values, 0, 1)[..., None]
        return np.asarray(
            (((1 - share) * grey + share * colormaps["inferno"](values)[..., :3]) * 255).round(), np.uint8
        )


def write_picture(pixels: npt.NDArray[np.uint8], file: Path) -> None:
    """Write pixels as PNG, whole or not at all."""
    with whole_file(file) as unfinished:
        Image.fromarray(pixels).save(unfinished)
