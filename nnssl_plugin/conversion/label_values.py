import numpy as np
import numpy.typing as npt

from nnssl_plugin.errors import InputError


def values_in(segmentation: npt.NDArray) -> set[int]:
    """Values that occur in a segmentation.

    Raises:
        InputError: some are not whole numbers.
    """
    # Nearly all of a segmentation is background: sorting only the rest is much faster.
    values = np.unique(segmentation[segmentation != 0])
    if not np.isfinite(values).all() or not np.array_equal(values, np.rint(values)):
        example = values[~np.isfinite(values) | (values != np.rint(values))][0]
        raise InputError(f"it has values that are not whole numbers, like {example!s}: round or repair them")
    return {int(value) for value in values} | ({0} if np.any(segmentation == 0) else set())
