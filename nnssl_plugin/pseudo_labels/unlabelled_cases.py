"""Which cases get pseudo-labels, and which are left out and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import channel_names, is_pseudo_labelled, missing_modalities, patient_of
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.nnunet.patients import DatasetCases, maybe_in_common
from nnssl_plugin.nnunet.plans_file import preprocessed_folder
from nnssl_plugin.pseudo_labels.teachers import Teacher

MEASURED = "of validation patients of the models"
TRAINED = "of training patients of the models"
INCOMPLETE = "that lack a modality"


@dataclass(frozen=True)
class UnlabelledCases:
    """Cases to be labelled.

    Attributes:
        dataset: full name of the data set they are of.
        images: case → its images, in channel order.
        patients: case → patient.
        left_out: reason → number of cases.
    """

    dataset: str
    images: Mapping[str, Sequence[Path]]
    patients: Mapping[str, str]
    left_out: Mapping[str, int]


def find_unlabelled(dataset: str, teachers: Sequence[Teacher], taught: Mapping[str, Any]) -> UnlabelledCases:
    """Cases of a data set that no teacher was trained on or is measured on, with all modalities; its labels are not looked at.

    Patients, not cases, are kept apart: by their names and by the scans that the conversion recorded.

    Args:
        dataset: full name.
        teachers: all of one data set.
        taught: the `dataset.json` that they were trained with.

    Raises:
        InputError: the data set has other channels or another file ending, is pseudo-labelled itself, or no case is left.
    """
    folder = folder_of("nnUNet_raw") / dataset
    dataset_json = read_json(folder / "dataset.json")
    if is_pseudo_labelled(dataset_json):
        raise InputError(f"{dataset} is pseudo-labelled itself: name the data set that its images are of")
    for what, found, wanted in (
        ("channels", channel_names(dataset_json), channel_names(taught)),
        ("file ending", dataset_json["file_ending"], taught["file_ending"]),
    ):
        if found != wanted:
            raise InputError(f"{dataset} has the {what} {found}, the models were trained on {wanted}")
    images = get_filenames_of_train_images_and_targets(str(folder), dict(dataset_json))
    labelled_json = read_json(preprocessed_folder(teachers[0].dataset) / "dataset.json")

    def of_patients_of(theirs: Iterable[Sequence[str]]) -> set[str]:
        seen = DatasetCases(teachers[0].dataset, labelled_json, tuple(chain.from_iterable(theirs)))
        return maybe_in_common(DatasetCases(dataset, dataset_json, tuple(images)), seen)

    kept = {case: [Path(file) for file in files["images"]] for case, files in images.items()}
    left_out: dict[str, int] = {}
    for reason, cases in (
        (MEASURED, of_patients_of(teacher.validation for teacher in teachers)),
        (TRAINED, of_patients_of(teacher.training for teacher in teachers)),
        (INCOMPLETE, {case for case in images if missing_modalities(dataset_json, case)}),
    ):
        found = [case for case in kept if case in cases]
        for case in found:
            del kept[case]
        if found:
            left_out[reason] = len(found)
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(f"{dataset} has no case to label ({reasons or 'it has no cases'})")
    absent = [str(file) for files in kept.values() for file in files if not file.is_file()]
    if absent:
        raise InputError(f"{dataset}: {len(absent)} images are not there: {', '.join(absent[:3])}")
    patients = {case: patient_of(dataset_json, case) for case in kept}
    return UnlabelledCases(dataset, kept, patients, left_out)
