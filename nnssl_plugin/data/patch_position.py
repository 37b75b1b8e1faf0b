import numpy as np
import numpy.typing as npt

from nnssl_plugin.data.mosaic_axes import mosaic_axes

ATTEMPTS = 10


def draw_patch_position(
    shape: npt.ArrayLike,
    patch_size: npt.ArrayLike,
    locations: np.ndarray,
    foreground_voxels: int,
    minimum_foreground: float,
) -> np.ndarray:
    """Draw where a patch starts: around a foreground voxel, inside the image where it is large enough.

    A patch is drawn again while one of its quarters, the blocks of the mosaic, has too little foreground; after ten
    attempts the best one is taken. The share is estimated from the sampled locations, so nothing is read.

    Args:
        shape: of the image, three axes.
        patch_size: three axes; a 2d patch has size 1 along the first.
        locations: `[L, 3]`, uniform sample of the foreground.
        foreground_voxels: how many voxels that is a sample of.
        minimum_foreground: smallest share of foreground in a quarter.

    Returns:
        `[3]`, first voxel; negative or overlapping the end where the patch is larger than the image.
    """
    extent, patch = np.asarray(shape), np.asarray(patch_size)
    per_location = foreground_voxels / len(locations)
    plane = list(mosaic_axes(patch.tolist()))
    best, best_share = None, -1.0
    for _ in range(ATTEMPTS):
        centre = locations[np.random.randint(len(locations))].astype(int)
        inside = np.clip(centre - patch // 2, 0, np.maximum(extent - patch, 0))
        start = np.where(extent >= patch, inside, -((patch - extent) // 2))
        within = locations[((locations >= start) & (locations < start + patch)).all(axis=1)] - start
        quarter = (within[:, plane] >= patch[plane] // 2) @ [2, 1]
        share = np.bincount(quarter, minlength=4).min() * per_location / (patch.prod() / 4)
        if share > best_share:
            best, best_share = start, share
        if best_share >= minimum_foreground:
            break
    assert best is not None
    return best
