"""Generated ultrasound-like clips and their table: python many_clips.py FOLDER COUNT. Noise that moves in a fan, 30 frames of 160 pixels, mp4."""

import csv
import sys
from pathlib import Path

import av
import numpy as np
from tqdm import trange

FRAMES, SIZE = 30, 160


def main(folder: Path, count: int) -> None:
    """Write clips and clips.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    fan = (y + SIZE / 2 > abs(x)) & (np.hypot(y + SIZE / 2, x) < SIZE)
    rows = []
    for number in trange(count, desc="Writing clips"):
        rng = np.random.default_rng(number)
        texture = rng.integers(20, 200, (SIZE + FRAMES, SIZE), dtype=np.uint8)
        with av.open(str(folder / f"clip{number:04d}.mp4"), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = SIZE
            stream.pix_fmt = "yuv420p"
            for i in range(FRAMES):
                grey = texture[i : i + SIZE] * fan
                frame = av.VideoFrame.from_ndarray(
                    np.repeat(grey[..., None], 3, axis=2).astype(np.uint8), format="rgb24"
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        rows.append({"case": f"clip{number:04d}", "class": "ab"[number % 2], "group": f"p{number // 3:04d}"})
    with (folder.parent / "clips.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
