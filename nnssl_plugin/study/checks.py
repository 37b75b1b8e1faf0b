"""What of a study can be found wrong before anything of it runs."""

import contextlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name

from nnssl_plugin.classification.labels import case_classes
from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.regions import READERS
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import table_cases
from nnssl_plugin.nnunet.plans_file import configuration_of, load_plans, preprocessed_folder
from nnssl_plugin.runs.device import TRAINERS, Device
from nnssl_plugin.study.declaration import Control, Recipe, Schedule, Study
from nnssl_plugin.training.run_checks import refuse_unlabelled


def check_study(study: Study, dataset: str, device: Device) -> Path:
    """Check that plans, preprocessed images, labels to score and trainers that a study names are there.

    Args:
        study: the declaration.
        dataset: full name.
        device: whose environment the trainers are looked up in.

    Returns:
        Folder of the configuration's preprocessed images.

    Raises:
        InputError: one of them is not, or the data set is unlabelled.
    """
    data = preprocessed_folder(dataset)
    sections: list[Control | Recipe] = [*study.controls.values(), *study.recipes.values()]
    for section in sections:
        plans = load_plans(dataset, section.plans or study.plans)
        images = data / configuration_of(plans, study.configuration)["data_identifier"]
        if not images.is_dir():
            raise InputError(
                f"{dataset} has no preprocessed images {images.name}; run nnUNetv2_preprocess -d "
                f"{dataset[7:10]} -plans_name {plans['plans_name']} -c {study.configuration}"
            )
    dataset_json = read_json(data / "dataset.json")
    if study.evaluation == "classes":
        case_classes(dataset_json, study.columns, table_cases(dataset_json))
    else:
        _check_labels(study, dataset, dataset_json, data)
    os.environ[TRAINERS] = device.environment()[TRAINERS]
    parts: list[Control | Recipe | Schedule] = [*sections, *study.schedules.values()]
    for trainer in dict.fromkeys(part.trainer for part in parts):
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                recursive_find_trainer_class_by_name(trainer)
        except RuntimeError:
            raise InputError(f"{study.name}: nnU-Net finds no trainer {trainer!r}") from None
    return images


def _check_labels(study: Study, dataset: str, dataset_json: Mapping[str, Any], data: Path) -> None:
    refuse_unlabelled(dataset_json, dataset)
    try:
        READERS[study.evaluation](dataset_json, str(data / "dataset.json"))
    except InputError as error:
        raise InputError(
            f"{study.name}: `evaluation: {study.evaluation}` cannot score {dataset}; write `evaluation: regions`, or name "
            f"the labels in the dataset.json of its raw and preprocessed data. {error}"
        ) from None
