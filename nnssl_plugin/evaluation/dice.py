import numpy as np
import numpy.typing as npt


def dice(prediction: npt.NDArray[np.bool_], reference: npt.NDArray[np.bool_], both_empty: float = 1.0) -> float:
    """Dice coefficient 2|P∩R| / (|P| + |R|) of two masks of equal shape; exactly one of them empty gives 0.

    Args:
        prediction: P.
        reference: R.
        both_empty: value where neither mask has a voxel: 1 in BraTS; nnU-Net has NaN and leaves it out of its means.
    """
    voxels = np.count_nonzero(prediction) + np.count_nonzero(reference)
    if voxels == 0:
        return both_empty
    return 2 * np.count_nonzero(prediction & reference) / voxels
