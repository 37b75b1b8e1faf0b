"""Small NIfTI copies of a folder of grey PNG images, one slice each: python ultrasound_images.py FOLDER COPY [SIZE].

The longer side becomes SIZE pixels (default 96), the aspect stays. Spacing is nominal.
"""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from skimage.io import imread
from skimage.transform import resize
from tqdm import tqdm


def main(folder: Path, copy: Path, size: int) -> None:
    """Copy a folder."""
    files = sorted(folder.glob("*.png"))
    if not files:
        sys.exit(f"{folder} holds no .png file")
    copy.mkdir(parents=True, exist_ok=True)
    for file in tqdm(files, "Shrinking"):
        image = imread(file, as_gray=True).astype(np.float32)
        shape = [max(1, round(length * size / max(image.shape))) for length in image.shape]
        small = resize(image, shape, order=1, anti_aliasing=True, preserve_range=True)
        written = sitk.GetImageFromArray(small[None].astype(np.float32))
        written.SetSpacing((1.0, 1.0, 1.0))
        sitk.WriteImage(written, str(copy / f"{file.stem}.nii.gz"))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) == 4 else 96)
