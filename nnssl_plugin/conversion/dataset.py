"""A data set to be written, and under which ids and names nnU-Net will find it."""

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nnunetv2.dataset_conversion

from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.checked import CheckedCase
from nnssl_plugin.conversion.label_scheme import LABEL, LabelScheme
from nnssl_plugin.conversion.scan import in_place_ending
from nnssl_plugin.conversion.splits import splits_by_patient
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.image_file import FILE_ENDINGS

# The ids of the Medical Segmentation Decathlon, for which nnU-Net has one converter.
DECATHLON = dict.fromkeys(range(1, 11), "the Medical Segmentation Decathlon")


@dataclass(frozen=True)
class Dataset:
    """A data set to be written.

    Attributes:
        dataset_id: nnU-Net's.
        name: what follows the id in the folder's name.
        cases: all with a label, or all without.
        checked: case → what was seen of it.
        modalities: in channel order.
        label_scheme: None for an unlabelled data set, which gets placeholders.
        resample_to: modality on whose grid scans on another one are resampled.
    """

    dataset_id: int
    name: str
    cases: Sequence[Case]
    checked: Mapping[str, CheckedCase]
    modalities: Sequence[str]
    label_scheme: LabelScheme | None
    resample_to: str | None = None

    @property
    def folder_name(self) -> str:
        """`Dataset501_BraTS2023`."""
        return f"Dataset{self.dataset_id:03d}_{self.name}"

    @property
    def splits(self) -> list[dict[str, list[str]]] | None:
        """Folds to be written beside the data; None where nnU-Net's own are right, or none are possible."""
        if self.label_scheme is None:
            return None
        return splits_by_patient({case.name: case.patient for case in self.cases})

    @property
    def file_ending(self) -> str:
        """The one most scans have that can stay where they are; nnU-Net wants one for all."""
        endings = Counter(
            ending
            for case in self.cases
            for role, scan in case.scans.items()
            if not self.is_rewritten(case, role) and (ending := in_place_ending(scan, FILE_ENDINGS))
        )
        return max(endings, key=lambda ending: (endings[ending], ending == ".nii.gz"), default=".nii.gz")

    def missing(self, case: Case) -> list[str]:
        """Modalities that a case lacks."""
        return [modality for modality in self.modalities if modality not in case.images]

    def is_rewritten(self, case: Case, role: str) -> bool:
        """Whether the voxels of a scan change, so that its file cannot be used as it is."""
        recoded = role == LABEL and self.label_scheme is not None and bool(self.label_scheme.recoded)
        return recoded or self.checked[case.name].scans[role].resampled is not None


def check_name_is_free(dataset_id: int, name: str, overwrite: bool) -> None:
    """Check that nnU-Net will find this data set, and no other one, by its id.

    Raises:
        InputError: the id or name cannot be one of nnU-Net's, is taken, or is one its own converters use.
    """
    if not 1 <= dataset_id <= 999:
        raise InputError(f"data set id {dataset_id}: nnU-Net's ids go from 1 to 999")
    if owner := ids_of_nnunet_converters().get(dataset_id):
        raise InputError(f"data set id {dataset_id} is what nnU-Net's own converter gives {owner}; choose another one")
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise InputError(f"data set name {name!r}: expected letters, digits, '_', '.' and '-' only; choose with --name")
    wanted = f"Dataset{dataset_id:03d}_{name}"
    for taken in folders_with_id(dataset_id):
        if taken.name != wanted:
            raise InputError(f"the id {dataset_id} is taken by {taken}; choose another one, or --name it the same")
        if not overwrite:
            raise InputError(f"{taken} exists; choose another id, or replace it with --overwrite")


def folders_with_id(dataset_id: int) -> list[Path]:
    """Folders of this id in nnUNet_raw, nnUNet_preprocessed and nnUNet_results.

    nnU-Net looks an id up in all three and gives up if the names differ.
    """
    parents = [os.environ.get(variable) for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")]
    return [path for parent in parents if parent for path in sorted(Path(parent).glob(f"Dataset{dataset_id:03d}*"))]


def ids_of_nnunet_converters() -> dict[int, str]:
    """Id → data set, for the converters of the installed nnU-Net, which name their files by them."""
    taken = dict(DECATHLON)
    for folder in nnunetv2.dataset_conversion.__path__:
        for path in Path(folder).rglob("Dataset*.py"):
            # Dataset015_018_RibFrac_RibSeg.py makes two data sets.
            if match := re.match(r"Dataset(\d{3}(?:_\d{3})*)_", path.name):
                taken.update(dict.fromkeys(map(int, match[1].split("_")), path.stem))
    return taken
