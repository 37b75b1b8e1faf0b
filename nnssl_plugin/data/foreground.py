"""Foreground of a preprocessed image: what is not its constant background (methods.md, notation)."""

import numpy as np

# Preprocessed images are z-scored; values closer than this are the same one, resampled.
TOLERANCE = 1e-3
# A background is the one value that many voxels share while every other value is rare: noise in integer images also
# repeats values, but none of them alone.
SMALLEST_SHARE = 0.02
LEAD = 4
SAMPLED_VOXELS = 500_000


def constant_background(image: np.ndarray) -> float:
    """The value of a channel's constant background, or NaN where it has none.

    It need not be 0: z-scoring without a mask moves it (nnunet.md).

    Shape: `[*S]`, one channel.
    """
    values = image.ravel()
    values = values[:: max(1, len(values) // SAMPLED_VOXELS)]
    levels, counts = np.unique(np.round(values / TOLERANCE).astype(np.int64), return_counts=True)
    mode = levels[counts.argmax()]
    # Resampling leaves the background within a rounding step of its value.
    near = np.abs(levels - mode) <= 1
    share = counts[near].sum() / len(values)
    rest = counts[~near].max(initial=0)
    if share < SMALLEST_SHARE or counts[near].sum() < LEAD * rest:
        return float("nan")
    return float(np.median(values[np.abs(values / TOLERANCE - mode) <= 1]))


def foreground_mask(image: np.ndarray, background: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Voxels where any present modality differs from its background; all of them where one has no background.

    Shape: `[C, *S]`, `[C]` (NaN: none), `[C]` → `[*S]`, bool.
    """
    if np.isnan(background[present]).any():
        return np.ones(image.shape[1:], dtype=bool)
    mask = np.zeros(image.shape[1:], dtype=bool)
    for number in np.flatnonzero(present):
        channel, value = image[number], float(background[number])
        mask |= (channel < value - 2 * TOLERANCE) | (channel > value + 2 * TOLERANCE)
    return mask
