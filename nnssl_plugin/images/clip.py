"""Ultrasound clips as grey frames, without black borders and burnt-in marks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.file_names import printable
from nnssl_plugin.images.picture import is_picture

ENDINGS = (".mp4", ".avi", ".mov", ".mpeg", ".mpg", ".gif", ".mkv", ".webm", ".wmv", ".m4v")
# Of 255. A pixel is coloured where its channels differ by more: ultrasound is grey, its overlays are not.
COLOURED = 40
# A pixel that changes by at most this over the clip stands still; compression makes noise.
STILL = 8
BRIGHT = 100
# What is never brighter than this is black.
BLACK = 12
# Where less of the picture than this moves, or in fewer frames, what stands still may be the picture.
SMALLEST_MOTION = 0.2
FEWEST_FRAMES = 5


@dataclass(frozen=True)
class Clip:
    """Frames `[T, Y, X]`, uint8, and what was done to them, in words."""

    frames: npt.NDArray[np.uint8]
    notes: tuple[str, ...]


def is_clip(path: Path) -> bool:
    """Whether a file is called like one."""
    return path.suffix.lower() in ENDINGS


def frames_per_second(path: Path) -> float | None:
    """What the file says, without reading its frames; None of a folder of frames.

    Raises:
        InputError: it is no clip.
    """
    if path.is_dir():
        return None
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{printable(path)} has no pictures")
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate
            return float(rate) if rate else None
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{printable(path)} is no clip that can be read: {error}") from None


def read_clip(path: Path, stride: int = 1) -> Clip:
    """Every `stride`-th frame of a clip, or of a folder of pictures in the order of their numbers.

    Pixels that are coloured in some frame, or bright and still while the picture moves, are set to 0: measures, texts and
    marks would tell a network which clip it sees. Then black borders are cropped.

    Args:
        path: a file, decoded frame by frame, or a folder.
        stride: of the frames that are kept.

    Raises:
        InputError: it cannot be read, is truncated, has no frame, frames of several sizes, or nothing but black.
    """
    kept: list[npt.NDArray[np.uint8]] = []
    coloured: npt.NDArray[np.bool_] | None = None
    try:
        for number, frame in enumerate(_decoded(path)):
            if kept and frame.shape[:2] != kept[0].shape:
                sizes = " and ".join("x".join(map(str, shape[1::-1])) for shape in (kept[0].shape, frame.shape))
                raise InputError(f"{printable(path)}: frame {number + 1} has another size than the first ({sizes})")
            if number % stride:
                continue
            kept.append(np.round(frame.mean(axis=2)).astype(np.uint8))
            own = frame.max(axis=2).astype(int) - frame.min(axis=2) > COLOURED
            coloured = own if coloured is None else coloured | own
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{printable(path)} is truncated or damaged: {error}") from None
    if not kept or coloured is None:
        raise InputError(f"{printable(path)} has no frame")
    frames = np.stack(kept)
    notes = [f"every {stride}th frame"] if stride > 1 else []
    if len(frames) == 1:
        notes.append("one frame only")
    marks = coloured | _still_marks(frames)
    frames[:, marks] = 0
    if marks.any():
        notes.append(f"{100 * marks.mean():.1f} % of the picture blackened as burnt-in marks")
    rows, columns = (np.flatnonzero((frames > BLACK).any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if not len(rows):
        raise InputError(f"{printable(path)} shows nothing but black")
    cropped = frames[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if cropped.shape != frames.shape:
        before, after = (f"{shape[2]}x{shape[1]}" for shape in (frames.shape, cropped.shape))
        notes.append(f"black borders cropped, {before} to {after}")
    return Clip(np.ascontiguousarray(cropped), tuple(notes))


def pictures_in(folder: Path) -> list[Path]:
    """The frames in a folder, in the order of the numbers in their names."""

    def key(path: Path) -> list[object]:
        return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", path.name)]

    return sorted((path for path in folder.iterdir() if path.is_file() and is_picture(path)), key=key)


def _decoded(path: Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Frames `[Y, X, 3]`, one at a time."""
    if path.is_dir():
        for picture in pictures_in(path):
            with Image.open(picture) as opened:
                yield np.asarray(opened.convert("RGB"))
        return
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def _still_marks(frames: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Pixels `[Y, X]` that are bright and stand still while the picture moves."""
    change = frames.max(axis=0).astype(int) - frames.min(axis=0)
    if len(frames) < FEWEST_FRAMES or (change > STILL).mean() < SMALLEST_MOTION:
        return np.zeros(frames.shape[1:], bool)
    still: npt.NDArray[np.bool_] = (change <= STILL) & (frames.mean(axis=0) > BRIGHT)
    return still
