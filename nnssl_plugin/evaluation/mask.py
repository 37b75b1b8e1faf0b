from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]


def bounding_box(mask: Mask, margin: int = 0) -> tuple[slice, ...] | None:
    """The smallest box that holds all that is set, widened by `margin` voxels within the image; None if nothing is set."""
    sides = []
    for axis in range(mask.ndim):
        (used,) = np.nonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not len(used):
            return None
        sides.append(slice(max(0, int(used[0]) - margin), min(int(used[-1]) + 1 + margin, mask.shape[axis])))
    return tuple(sides)


def diagonal_mm(mask: Mask, spacing: Sequence[float]) -> float:
    """Diagonal of an image; of a single slice, the diagonal in its plane."""
    return float(np.linalg.norm([size * step for size, step in zip(mask.shape, spacing, strict=True) if size > 1]))
