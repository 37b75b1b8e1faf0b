"""Data sets in nnU-Net's raw folder: which names are free, and folders that appear complete or not at all."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json

from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.label_scheme import PLACEHOLDER, LabelScheme
from nnssl_plugin.conversion.placeholder import image_foreground
from nnssl_plugin.conversion.splits import splits_by_patient
from nnssl_plugin.data.dataset_json import KEY
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.image_file import read_array, write_on_grid_of
from nnssl_plugin.images.parallel import in_parallel
from nnssl_plugin.nnunet import folder_of

FILE_ENDING = ".nii.gz"


@dataclass(frozen=True)
class Dataset:
    """A data set to be written. `labels`: None for an unlabelled one, which gets placeholders."""

    dataset_id: int
    name: str
    cases: Sequence[Case]
    modalities: Sequence[str]
    labels: LabelScheme | None

    @property
    def folder_name(self) -> str:
        """`Dataset501_BraTS2023`."""
        return f"Dataset{self.dataset_id:03d}_{self.name}"

    @property
    def splits(self) -> list[dict[str, list[str]]] | None:
        """Folds to be written beside the data; None where nnU-Net's own are right, or none are possible."""
        if self.labels is None:
            return None
        return splits_by_patient({case.name: case.patient for case in self.cases})

    def missing(self, case: Case) -> list[str]:
        """Modalities that a case lacks."""
        return [modality for modality in self.modalities if modality not in case.images]


def check_name_is_free(dataset_id: int, name: str, overwrite: bool) -> None:
    """Check that nnU-Net will find this data set, and no other one, by its id.

    Raises:
        InputError: the id or name cannot be one of nnU-Net's, or is taken.
    """
    if not 1 <= dataset_id <= 999:
        raise InputError(f"data set id {dataset_id}: nnU-Net's ids go from 1 to 999")
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


def write_datasets(datasets: Sequence[Dataset], copy: bool, converted_by: str) -> dict[str, Counter[str]]:
    """Write data sets under temporary names and move them to their places once all are complete.

    Args:
        datasets: in nnUNet_raw, data sets of the same names are replaced.
        copy: copy images instead of linking to them.
        converted_by: for `dataset.json`.

    Returns:
        Name of the data set's folder → how many files were linked, copied, converted or made.
    """
    raw = folder_of("nnUNet_raw")
    raw.mkdir(parents=True, exist_ok=True)
    unfinished = [raw / f".{dataset.folder_name}.unfinished" for dataset in datasets]
    counts = {}
    try:
        for dataset, folder in zip(datasets, unfinished, strict=True):
            shutil.rmtree(folder, ignore_errors=True)
            counts[dataset.folder_name] = _write(dataset, folder, copy, converted_by)
        for dataset, folder in zip(datasets, unfinished, strict=True):
            final, replaced = raw / dataset.folder_name, raw / f".{dataset.folder_name}.replaced"
            shutil.rmtree(replaced, ignore_errors=True)
            if final.exists():
                os.replace(final, replaced)
            os.replace(folder, final)
            shutil.rmtree(replaced, ignore_errors=True)
    finally:
        for folder in unfinished:
            shutil.rmtree(folder, ignore_errors=True)
    return counts


def _write(dataset: Dataset, folder: Path, copy: bool, converted_by: str) -> Counter[str]:
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)

    def write_case(case: Case) -> Counter[str]:
        try:
            return _write_case(dataset, case, folder, copy)
        except InputError as error:
            raise InputError(f"case {case.name}: {error}") from None

    counts = in_parallel(write_case, dataset.cases, f"writing {dataset.folder_name}")
    labels = dataset.labels or PLACEHOLDER
    generate_dataset_json(
        str(folder),
        channel_names={str(i): modality for i, modality in enumerate(dataset.modalities)},
        labels=dict(labels.labels),
        num_training_cases=len(dataset.cases),
        file_ending=FILE_ENDING,
        regions_class_order=tuple(labels.regions_class_order) if labels.regions_class_order else None,
        dataset_name=dataset.folder_name,
        license="not known to the converter: the licence of the original images holds",
        converted_by=converted_by,
        **{
            KEY: {
                "unlabelled": dataset.labels is None,
                "cases": {
                    case.name: {"patient": case.patient, "missing": dataset.missing(case)} for case in dataset.cases
                },
            }
        },
    )
    if dataset.splits:
        save_json(dataset.splits, str(folder / "splits_final.json"), sort_keys=False)
    return sum(counts, Counter())


def _write_case(dataset: Dataset, case: Case, folder: Path, copy: bool) -> Counter[str]:
    done: Counter[str] = Counter()
    some_image = next(iter(case.images.values()))
    for channel, modality in enumerate(dataset.modalities):
        target = folder / "imagesTr" / f"{case.name}_{channel:04d}{FILE_ENDING}"
        if modality in case.images:
            done[_place(case.images[modality], target, copy)] += 1
        else:
            # nnU-Net wants a file per channel; an all-zero one stays zero in its z-score.
            write_on_grid_of(some_image, np.zeros_like(read_array(some_image)), target)
            done["made for a missing modality"] += 1
    target = folder / "labelsTr" / f"{case.name}{FILE_ENDING}"
    if dataset.labels is None:
        write_on_grid_of(some_image, image_foreground(map(read_array, case.images.values())), target)
        done["made as placeholder label"] += 1
    elif case.label is not None:
        done[_place(case.label, target, copy)] += 1
    return done


def _place(source: Path, target: Path, copy: bool) -> str:
    """Put `source` at `target`; returns what was done."""
    if not source.name.endswith(FILE_ENDING):
        sitk.WriteImage(sitk.ReadImage(str(source)), str(target), True)
        return "converted"
    if not copy:
        try:
            target.symlink_to(source.resolve())
            return "linked"
        except OSError:
            # Some file systems, and Windows without the privilege, have no symbolic links.
            pass
    shutil.copyfile(source, target)
    return "copied"
