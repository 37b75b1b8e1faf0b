"""A copy of a folder of pictures, the longest side shrunk to a number of pixels: python small_pictures.py FOLDER COPY PIXELS.

Other files are copied as they are. A patch of 128 pixels shows a whole chest x-ray of 128, and a sixth of one of 320.
"""

import shutil
import sys
from pathlib import Path

from PIL import Image
from tqdm import tqdm


def main(folder: Path, copy: Path, pixels: int) -> None:
    """Copy a folder."""
    for file in tqdm([file for file in sorted(folder.rglob("*")) if file.is_file()], "Copying"):
        target = copy / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".png":
            shutil.copyfile(file, target)
            continue
        with Image.open(file) as picture:
            picture.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
            picture.save(target)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
