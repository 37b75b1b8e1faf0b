"""Classifiers that were trained on the folds of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.classification.checkpoint import classes_of_checkpoint
from nnssl_plugin.classification.network import ClassificationNetwork
from nnssl_plugin.classification.temperature import fitted_temperature
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.settings.settings import settings_from_plans

FINAL = "checkpoint_final.pth"


@dataclass
class TrainedClassifier:
    """Networks of the folds, on one device, and what their predictions are calibrated by.

    Attributes:
        plans, configuration, dataset_json: they were trained under. configuration_name: of the configuration.
        columns: column → classes.
        networks: one of each fold, in evaluation mode.
        temperature: column → fitted on the validation cases of these folds; 1 where there are none.
    """

    plans: PlansManager
    configuration: ConfigurationManager
    configuration_name: str
    dataset_json: dict[str, Any]
    columns: dict[str, tuple[str, ...]]
    networks: list[ClassificationNetwork]
    temperature: dict[str, float]


def load_classifier(folder: Path, folds: Sequence[str], device: torch.device) -> TrainedClassifier:
    """Load the classifiers of some folds.

    Args:
        folder: `TRAINER__PLANS__CONFIGURATION` in nnU-Net's results.
        folds: numbers or `all`.
        device: for the networks.

    Raises:
        InputError: a fold is not trained to its end or not validated, or the folds have other classes.
    """
    missing = [fold for fold in folds if not (folder / f"fold_{fold}" / FINAL).is_file()]
    if missing:
        raise InputError(
            f"{folder} has no {FINAL} of fold {', '.join(missing)}: train it with nnUNetv2_train … -tr SSLClassifyTrainer, or "
            "name other folds with -f"
        )
    plans = PlansManager(read_json(folder / "plans.json"))
    dataset_json = read_json(folder / "dataset.json")
    name = folder.name.rsplit("__", 1)[1]
    configuration = plans.get_configuration(name)
    checkpoints = {fold: read_checkpoint(folder / f"fold_{fold}" / FINAL) for fold in folds}
    columns = {fold: classes_of_checkpoint(content, fold) for fold, content in checkpoints.items()}
    first = columns[folds[0]]
    if any(one != first for one in columns.values()):
        raise InputError(f"the folds in {folder} were trained on other classes: train them again")
    networks = []
    for content in checkpoints.values():
        network = _network(plans, configuration, dataset_json, first)
        network.load_state_dict(content["network_weights"])
        networks.append(network.to(device).eval())
    temperature = _temperatures(folder, [fold for fold in folds if fold != "all"], first)
    return TrainedClassifier(plans, configuration, name, dataset_json, first, networks, temperature)


def _network(
    plans: PlansManager,
    configuration: ConfigurationManager,
    dataset_json: dict[str, Any],
    columns: dict[str, tuple[str, ...]],
) -> ClassificationNetwork:
    unet = nnUNetTrainer.build_network_architecture(
        plans,
        configuration,
        determine_num_input_channels(plans, configuration, dataset_json),
        plans.get_label_manager(dataset_json).num_segmentation_heads,
        False,
    )
    settings = settings_from_plans(plans.plans).classification
    return ClassificationNetwork(unet, [len(names) for names in columns.values()], settings)


def _temperatures(folder: Path, folds: Sequence[str], columns: dict[str, tuple[str, ...]]) -> dict[str, float]:
    """Fitted on the validation cases alone, which none of these networks was trained on."""
    files = {fold: folder / f"fold_{fold}" / "validation" / "summary.json" for fold in folds}
    if missing := [fold for fold, file in files.items() if not file.is_file()]:
        raise InputError(
            f"fold {', '.join(missing)} in {folder} was trained, but not validated, and the temperature is fitted on validation "
            "cases: run nnUNetv2_train with the same arguments and --val"
        )
    summaries = [read_json(file) for file in files.values()]
    result = {}
    for column in columns:
        entries = [case[column] for summary in summaries for case in summary["cases"].values() if column in case]
        truth = np.array([entry["class"] for entry in entries], dtype=np.int64)
        probabilities = np.array([entry["probabilities"] for entry in entries], dtype=np.float64)
        result[column] = fitted_temperature(truth, probabilities) if entries else 1.0
    return result
