"""What the intensities of an image tell before anything is computed from them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnssl_plugin.conversion.placeholder import background_value

# Of foreground mean and standard deviation from 0 and 1: images that somebody has z-scored before.
ZSCORE_TOLERANCE = 0.1


@dataclass(frozen=True)
class Intensities:
    """`background`: value of the constant background, None where there is none. `foreground`: share of other voxels.

    `constant`: all voxels have one value. `notes`: what is unusual, but no reason to leave the image out.
    """

    background: float | None
    foreground: float
    constant: bool
    notes: tuple[str, ...]


def look_at(image: npt.NDArray) -> Intensities | None:
    """Background, foreground and oddities of an image `[Z, Y, X]`; None where it holds NaN or infinity."""
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        return None
    low, high = float(image.min()), float(image.max())
    if low == high:
        return Intensities(low, 0.0, True, (f"every voxel is {low:g}: counted as missing",))
    background = background_value(image)
    mask = np.ones(image.shape, bool) if background is None else image != background
    notes = []
    if background is None:
        notes.append("no constant background")
    elif background < 0:
        notes.append(f"background {background:g} is negative")
    if low < 0 and image.dtype.kind == "f":
        inside = image[mask]
        mean, deviation = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
        if abs(mean) < ZSCORE_TOLERANCE and abs(deviation - 1) < ZSCORE_TOLERANCE:
            notes.append(f"z-scored already: mean {mean:.3g}, standard deviation {deviation:.3g} inside")
    return Intensities(background, float(mask.mean()), False, tuple(notes))
