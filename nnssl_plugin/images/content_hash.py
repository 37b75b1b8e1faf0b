import hashlib

import numpy as np
import numpy.typing as npt


def content_hash(voxels: npt.NDArray) -> str:
    """Hash of the voxel values of an image `[Z, Y, X]`: the same for a copy under another name, header or integer type."""
    values = np.ascontiguousarray(voxels, np.float32) + np.float32(0)  # -0 becomes 0
    return hashlib.blake2b(repr(voxels.shape).encode() + values.tobytes(), digest_size=16).hexdigest()
