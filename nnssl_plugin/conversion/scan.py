"""Where the voxels of one modality, or of a segmentation, come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from nnssl_plugin.images.clip import pictures_in, read_clip
from nnssl_plugin.images.image_file import ending_of, read_checked_header
from nnssl_plugin.images.picture import COLOURS, is_picture, read_picture

# Key of an image's metadata.
NOTES = "nnssl_plugin notes"


class Scan(Protocol):
    """One 3-D image: a file, one channel of a 4-D file, a DICOM series, a stack of PNG slices."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files it is read from."""

    def load(self) -> sitk.Image:
        """Read it, after checking that all of it is there.

        Raises:
            InputError: it cannot be read, is truncated, or is no 3-D image of one component.
        """


@dataclass(frozen=True)
class ImageFile:
    """A 3-D image file, which may be listed in place."""

    path: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def load(self) -> sitk.Image:
        """See `Scan`."""
        read_checked_header(self.path)
        return sitk.ReadImage(str(self.path))

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Channel:
    """Channel `index` of a 4-D image file of `channels` channels."""

    path: Path
    index: int
    channels: int

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    def load(self) -> sitk.Image:
        """See `Scan`; only this channel is kept in memory."""
        reader = read_checked_header(self.path, dimensions=4)
        *size, channels = reader.GetSize()
        if channels != self.channels:
            raise InputError(f"{self.path} has {channels} channels, expected {self.channels}")
        reader.SetExtractIndex([0, 0, 0, self.index])
        reader.SetExtractSize([*size, 0])
        return reader.Execute()

    def __str__(self) -> str:
        return f"{self.path}, channel {self.index}"


@dataclass(frozen=True)
class Picture:
    """A natural image, as a volume of one slice. `channel`: of a colour picture; None for a grey one."""

    path: Path
    channel: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The file."""
        return (self.path,)

    @property
    def index(self) -> int | None:
        """Tells the channels of one file apart."""
        return self.channel

    def load(self) -> sitk.Image:
        """See `Scan`."""
        return read_picture(self.path, self.channel)

    def __str__(self) -> str:
        return str(self.path) if self.channel is None else f"{self.path}, channel {COLOURS[self.channel]}"


@dataclass(frozen=True)
class ClipScan:
    """A clip, or a folder of frames, as a volume whose slices are the frames. `stride`: of the frames that are kept."""

    path: Path
    stride: int = 1

    @property
    def files(self) -> tuple[Path, ...]:
        """The file, or the frames of the folder."""
        return tuple(pictures_in(self.path)) if self.path.is_dir() else (self.path,)

    def load(self) -> sitk.Image:
        """See `Scan`; what was done to the frames is in its metadata under `NOTES`."""
        clip = read_clip(self.path, self.stride)
        volume = sitk.GetImageFromArray(clip.frames)
        volume.SetSpacing((1.0, 1.0, 1.0))
        volume.SetMetaData(NOTES, "; ".join(clip.notes))
        return volume

    def __str__(self) -> str:
        return str(self.path)


def scan_of(path: Path) -> ImageFile | Picture:
    """The scan that a file holds, by its name."""
    return Picture(path) if is_picture(path) else ImageFile(path)


def in_place_ending(scan: Scan, endings: tuple[str, ...]) -> str | None:
    """The one of `endings` with which nnU-Net can read the scan where it lies; None where it cannot."""
    if not isinstance(scan, ImageFile):
        return None
    return ending_of(scan.path.name, endings)
