"""The files of one case in an nnU-Net data set: listed where they lie, copied, or made."""

import filecmp
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.dataset import Dataset
from nnssl_plugin.conversion.label_scheme import LABEL
from nnssl_plugin.conversion.placeholder import image_foreground
from nnssl_plugin.conversion.scan import in_place_ending
from nnssl_plugin.files import whole_file
from nnssl_plugin.images.resampling import resample_onto
from nnssl_plugin.images.write_image import write_image

# Role (modality or label) → `file`: what nnU-Net reads, absolute or below the data set's folder; `how` it got there.
Placed = dict[str, dict[str, str]]


@dataclass(frozen=True)
class CaseWriter:
    """Puts the files of one case in their places; each appears complete or not at all.

    `folder`: of the data set, with `imagesTr` and `labelsTr` in it. `ending`: of the data set's files. `copy`: copy files
    that could be listed where they are.
    """

    dataset: Dataset
    case: Case
    folder: Path
    ending: str
    copy: bool

    @cached_property
    def reference(self) -> sitk.Image:
        """The image whose grid the case has."""
        images = self.case.images
        return images.get(self.dataset.resample_to or "", next(iter(images.values()))).load()

    def write(self) -> Placed:
        """Write or list every file of the case."""
        placed: Placed = {}
        for channel, modality in enumerate(self.dataset.modalities):
            target = Path("imagesTr") / f"{self.case.name}_{channel:04d}{self.ending}"
            if modality in self.case.images:
                placed[modality] = self._place(modality, target)
            else:
                # nnU-Net wants a file per channel; an all-zero one stays zero in its z-score.
                zeros = sitk.Image(self.reference.GetSize(), self.reference.GetPixelID())
                zeros.CopyInformation(self.reference)
                placed[modality] = self._written(zeros, target, "made for a missing modality")
        target = Path("labelsTr") / f"{self.case.name}{self.ending}"
        if self.dataset.label_scheme is not None:
            placed[LABEL] = self._place(LABEL, target)
        else:
            files = [self.folder / placed[modality]["file"] for modality in self.case.images]
            images = (sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in files)
            label = sitk.GetImageFromArray(image_foreground(images))
            label.CopyInformation(self.reference)
            placed[LABEL] = self._written(label, target, "made as placeholder label")
        for name, source in self.case.files.items():
            target = side_file(self.case, name)
            (self.folder / target).parent.mkdir(exist_ok=True)
            _copy(str(source), self.folder / target)
            placed[name] = {"file": target.as_posix(), "how": "copied"}
        return placed

    def _place(self, role: str, target: Path) -> dict[str, str]:
        scan = self.case.scans[role]
        if in_place_ending(scan, (self.ending,)) and not self.dataset.is_rewritten(self.case, role):
            source = os.path.abspath(scan.files[0])
            # nnU-Net expands variables in listed paths.
            if not self.copy and "$" not in source:
                return {"file": source, "how": "listed in place"}
            _copy(source, self.folder / target)
            return {"file": target.as_posix(), "how": "copied"}
        image = scan.load()
        done = []
        seen = self.dataset.checked[self.case.name].scans[role]
        if seen.resampled is not None:
            image = resample_onto(image, self.reference, role == LABEL, outside=seen.background or 0)
            done.append("resampled")
        if role == LABEL and self.dataset.label_scheme and self.dataset.label_scheme.recoded:
            image = recode(image, self.dataset.label_scheme.recoded)
            done.append("recoded")
        return self._written(image, target, " and ".join(done) or "converted")

    def _written(self, image: sitk.Image, target: Path, how: str) -> dict[str, str]:
        write_image(image, self.folder / target)
        return {"file": target.as_posix(), "how": how}


def side_file(case: Case, name: str) -> Path:
    """Where a file of the case that is no image lies in the data set's folder, like `reportsTr/CASE.txt`."""
    return Path(f"{name}sTr") / f"{case.name}{case.files[name].suffix}"


def recode(segmentation: sitk.Image, values: Mapping[int, int]) -> sitk.Image:
    """`segmentation` as uint8, with the values that are keys of `values` replaced."""
    voxels = sitk.GetArrayViewFromImage(segmentation)
    recoded = voxels.astype(np.uint8)
    for old, new in values.items():
        recoded[voxels == old] = new
    image = sitk.GetImageFromArray(recoded)
    image.CopyInformation(segmentation)
    return image


def _copy(source: str, target: Path) -> None:
    with whole_file(target) as unfinished:
        shutil.copyfile(source, unfinished)
        if not filecmp.cmp(source, unfinished, shallow=False):
            raise OSError(f"{target} could not be written: read back, it is not {source}")
