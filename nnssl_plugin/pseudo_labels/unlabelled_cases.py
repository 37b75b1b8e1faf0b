"""Which cases get pseudo-labels, and which are left out and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import channel_names, is_pseudo_labelled, missing_modalities, patient_of
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.nnunet.patients import DatasetCases, patients_in_common
from nnssl_plugin.nnunet.plans_file import preprocessed_folder
from nnssl_plugin.pseudo_labels.teachers import Teacher

MEASURED = "of validation patients of the models"
TRAINED = "of training patients of the models"
INCOMPLETE = "that lack a modality"
REASONS = (MEASURED, TRAINED, INCOMPLETE)


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

    Patients, not cases, are kept apart: by the names and the scans that the conversion recorded.

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
    patients = {case: patient_of(dataset_json, case) for case in images}
    labelled_json = read_json(preprocessed_folder(teachers[0].dataset) / "dataset.json")
    trained = {patient_of(labelled_json, case) for teacher in teachers for case in teacher.training}
    measured = {patient_of(labelled_json, case) for teacher in teachers for case in teacher.validation}
    # By their scans, too.
    theirs = {
        reason: patients_in_common(
            DatasetCases(dataset, dataset_json, tuple(images)),
            DatasetCases(teachers[0].dataset, labelled_json, tuple(cases)),
        )
        for reason, cases in (
            (MEASURED, [case for teacher in teachers for case in teacher.validation]),
            (TRAINED, [case for teacher in teachers for case in teacher.training]),
        )
    }
    kept, left_out = {}, dict.fromkeys(REASONS, 0)
    for case, files in images.items():
        if patients[case] in measured or case in theirs[MEASURED]:
            left_out[MEASURED] += 1
        elif patients[case] in trained or case in theirs[TRAINED]:
            left_out[TRAINED] += 1
        elif missing_modalities(dataset_json, case):
            left_out[INCOMPLETE] += 1
        else:
            kept[case] = [Path(file) for file in files["images"]]
    if not kept:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        raise InputError(f"{dataset} has no case to label ({reasons or 'it has no cases'})")
    absent = [str(file) for files in kept.values() for file in files if not file.is_file()]
    if absent:
        raise InputError(f"{dataset}: {len(absent)} images are not there: {', '.join(absent[:3])}")
    return UnlabelledCases(dataset, kept, patients, {reason: count for reason, count in left_out.items() if count})
