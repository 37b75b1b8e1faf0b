"""Small NIfTI copies of grey PNG images or of converted clips: python ultrasound_images.py FOLDER COPY [SIZE] [--masks].

The longer side of an image or frame becomes SIZE pixels (default 96), the aspect stays. Spacing is nominal. With --masks, images are masks: what
is above 0 becomes 1. Files end in _us or _seg.
"""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from skimage.io import imread
from skimage.transform import resize
from tqdm import tqdm


def main(folder: Path, copy: Path, size: int, masks: bool) -> None:
    """Copy a folder."""
    files = sorted([*folder.glob("*.png"), *folder.glob("*.nii.gz")])
    if not files:
        sys.exit(f"{folder} holds neither .png nor .nii.gz files")
    copy.mkdir(parents=True, exist_ok=True)
    for file in tqdm(files, "Shrinking"):
        is_png = file.suffix == ".png"
        frames = imread(file, as_gray=True)[None] if is_png else sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        frames = (frames > 0).astype(np.float32) if masks else frames.astype(np.float32)
        shape = [max(1, round(length * size / max(frames.shape[1:]))) for length in frames.shape[1:]]
        small = np.stack([resize(one, shape, order=1, anti_aliasing=True, preserve_range=True) for one in frames])
        small = (small >= 0.5).astype(np.uint8) if masks else small.astype(np.float32)
        written = sitk.GetImageFromArray(small)
        written.SetSpacing((1.0, 1.0, 1.0))
        name = file.name.removesuffix(".png").removesuffix(".nii.gz").removesuffix("_0000")
        sitk.WriteImage(written, str(copy / f"{name}_{'seg' if masks else 'us'}.nii.gz"))


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--masks"]
    main(Path(words[0]), Path(words[1]), int(words[2]) if len(words) > 2 else 96, "--masks" in sys.argv)
