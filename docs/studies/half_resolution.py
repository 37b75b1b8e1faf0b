"""A copy of a folder of NIfTI scans at half the resolution in the plane: python half_resolution.py FOLDER COPY.

Images (`*.nii.gz`) become means of 2×2 voxels; segmentations (`*_seg.nii.gz`) what most of the four voxels are, the higher label where
two are even. Folders and names stay.
"""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tqdm import tqdm


def halved(array: np.ndarray, is_label: bool) -> np.ndarray:
    """`[Z, Y, X]` → `[Z, Y // 2, X // 2]`."""
    z, y, x = array.shape
    blocks = array[:, : y // 2 * 2, : x // 2 * 2].reshape(z, y // 2, 2, x // 2, 2)
    if not is_label:
        return np.round(blocks.mean(axis=(2, 4))).astype(array.dtype)
    voxels = blocks.transpose(0, 1, 3, 2, 4).reshape(z, y // 2, x // 2, 4)
    labels = np.unique(array)
    counts = np.stack([(voxels == label).sum(axis=-1) for label in labels])
    # Of equal counts the last label, which is the highest.
    return labels[len(labels) - 1 - counts[::-1].argmax(axis=0)].astype(array.dtype)


def halve_file(source: Path, target: Path) -> None:
    """Write the half-resolution copy of one file."""
    image = sitk.ReadImage(str(source))
    small = sitk.GetImageFromArray(halved(sitk.GetArrayFromImage(image), source.name.endswith("_seg.nii.gz")))
    spacing = image.GetSpacing()
    small.SetSpacing((2 * spacing[0], 2 * spacing[1], spacing[2]))
    small.SetDirection(image.GetDirection())
    # The first voxel's centre is now that of the first 2×2 voxels.
    small.SetOrigin(image.TransformContinuousIndexToPhysicalPoint((0.5, 0.5, 0.0)))
    target.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(small, str(target))


def main(folder: Path, copy: Path) -> None:
    """Copy a folder."""
    files = sorted(folder.rglob("*.nii.gz"))
    if not files:
        sys.exit(f"{folder} holds no .nii.gz file")
    for file in tqdm(files, "Halving"):
        halve_file(file, copy / file.relative_to(folder))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
