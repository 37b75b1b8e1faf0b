from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from nnssl_plugin.errors import InputError


def background_value(image: npt.NDArray) -> float | None:
    """The value of the constant background of an image: the one that most voxels of its border share.

    Returns:
        None where no value covers half of the border, so that there is no constant background.
    """
    border = np.concatenate([side.ravel() for axis in range(image.ndim) for side in _sides(image, axis)])
    values, counts = np.unique(border, return_counts=True)
    most = int(np.argmax(counts))
    return float(values[most]) if 2 * counts[most] > border.size else None


def image_foreground(images: Iterable[npt.NDArray]) -> npt.NDArray[np.uint8]:
    """Placeholder label of an unlabelled case: 1 where any of its images differs from its constant background.

    nnU-Net can neither fingerprint nor plan a data set whose labels are all empty. All of the image is foreground
    where some modality has no constant background.

    Raises:
        InputError: every image is constant, so there is nothing to learn from.
    """
    foreground = None
    for image in images:
        value = background_value(image)
        mask = np.ones(image.shape, bool) if value is None else image != value
        foreground = mask if foreground is None else foreground | mask
    if foreground is None or not foreground.any():
        raise InputError("every image of the case is constant: remove the case")
    return foreground.astype(np.uint8)


def _sides(image: npt.NDArray, axis: int) -> tuple[npt.NDArray, npt.NDArray]:
    return np.take(image, 0, axis), np.take(image, -1, axis)
