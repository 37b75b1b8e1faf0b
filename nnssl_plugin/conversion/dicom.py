"""Scans of a case that lie in folders of slices: DICOM series, and segmentations as PNG files beside one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnssl_plugin.conversion.folder_listing import files_in
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.dicom_series import load_series, read_slices, read_tags, shift_by_rounding, volume_from_slices


@dataclass(frozen=True)
class DicomFolder:
    """A folder that holds the slices of one DICOM series.

    `acquired_with`: series of the same acquisition, whose grid it takes where their headers differ by rounding only.
    """

    path: Path
    acquired_with: "DicomFolder | None" = None

    @property
    def files(self) -> tuple[Path, ...]:
        """The slices, by name."""
        return tuple(files_in(self.path)) if self.path.is_dir() else ()

    def load(self) -> sitk.Image:
        """See `Scan`; slices are ordered by the positions in their headers."""
        if not self.files:
            raise InputError(f"there is no file in {self.path}")
        grid = None
        if self.acquired_with and self.shift_mm() is not None:
            grid = read_slices(self.acquired_with.files)
        return load_series(self.files, grid)

    def shift_mm(self) -> float | None:
        """Largest distance between slices of this series and of `acquired_with`, where it is within rounding, else None."""
        if self.acquired_with is None:
            return None
        return shift_by_rounding(read_slices(self.files), read_slices(self.acquired_with.files))

    def tag(self, tag: str) -> str | None:
        """What the first slice says under a tag, if anything."""
        return read_tags(self.files[0]).get(tag) or None

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class PngFolder:
    """A segmentation as one PNG file per slice of a DICOM series, named like the slice.

    `values`: grey value → label value; any other grey value is an error.
    """

    path: Path
    series: DicomFolder
    values: Mapping[int, int]

    @property
    def files(self) -> tuple[Path, ...]:
        """The PNG files, by name."""
        return tuple(files_in(self.path))

    def load(self) -> sitk.Image:
        """See `Scan`; slices are ordered as those of the series."""
        slices = read_slices(self.series.files)
        by_name = {file.stem: file for file in self.files}
        if unpaired := by_name.keys() ^ {header.file.stem for header in slices}:
            raise InputError(
                f"{self.path} and {self.series.path} do not hold the same slices: {', '.join(sorted(unpaired)[:3])} is in "
                "one of them only"
            )
        labels = np.zeros((len(slices), *reversed(slices[0].size)), np.uint8)
        found: set[int] = set()
        for label, header in zip(labels, slices, strict=True):
            file = by_name[header.file.stem]
            try:
                grey = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
            except RuntimeError as error:
                raise InputError(f"{file} cannot be read: {str(error).strip().splitlines()[-1]}") from None
            if grey.shape != label.shape:
                raise InputError(f"{file} has {grey.shape} pixels, its slice {label.shape}")
            found.update(np.unique(grey).tolist())
            if unknown := sorted(found - {0} - self.values.keys()):
                raise InputError(f"{file} has the grey values {unknown}; known are 0, {', '.join(self._known())}")
            for value, meaning in self.values.items():
                label[grey == value] = meaning
        # What programs write for the mask of one structure, whichever that is.
        if found == {0, 255} and len(set(self.values.values())) > 1:
            raise InputError(
                f"{self.path} holds nothing but 0 and 255, like the mask of one structure; known are {', '.join(self._known())}. "
                "Write the grey values that say which structure it is"
            )
        return volume_from_slices(slices, labels)

    def _known(self) -> list[str]:
        labels = sorted(set(self.values.values()))
        greys = [[grey for grey, label in self.values.items() if label == wanted] for wanted in labels]
        return [f"{min(of)} to {max(of)}" if len(of) > 1 else str(of[0]) for of in greys]

    def __str__(self) -> str:
        return str(self.path)
