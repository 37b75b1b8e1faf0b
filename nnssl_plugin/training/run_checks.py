"""What is wrong with a run, said before nnU-Net makes a folder for it."""

from collections.abc import Mapping
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import is_pseudo_labelled, is_unlabelled
from nnssl_plugin.nnunet.environment import check_nnunet, folder_of
from nnssl_plugin.settings.settings import Settings, settings_from_plans


def check_run(plans: Mapping[str, Any], configuration: str, dataset_json: Mapping[str, Any]) -> Settings:
    """Check version, environment, plans and configuration; return the settings of the plans.

    Raises:
        InputError: any of them does not fit; the message says which, what was expected and what to do.
    """
    check_nnunet("nnUNet_preprocessed", "nnUNet_results")
    settings = settings_from_plans(plans)
    if configuration not in plans["configurations"]:
        raise InputError(
            f"plans {plans['plans_name']} have no configuration {configuration!r}, only "
            f"{', '.join(sorted(plans['configurations']))}"
        )
    owner = folder_of("nnUNet_preprocessed") / plans["dataset_name"] / "dataset.json"
    if not owner.is_file() or read_json(owner) != dataset_json:
        raise InputError(
            f"the plans file {plans['plans_name']} belongs to {plans['dataset_name']}, not to the data set it was asked "
            "for with; make one for this data set with nnssl_plugin plan or nnssl_plugin align"
        )
    return settings


def refuse_unlabelled(dataset_json: Mapping[str, Any], dataset: str) -> None:
    """Refuse a data set whose labels are placeholders, or predictions of models.

    Raises:
        InputError: it is one.
    """
    if is_pseudo_labelled(dataset_json):
        raise InputError(
            f"{dataset} is pseudo-labelled: its labels are predictions of models. Train SSLSelfTrainTrainer on the labelled "
            "data set, with finetuning.pseudo_labels naming this one"
        )
    if is_unlabelled(dataset_json):
        raise InputError(
            f"{dataset} is unlabelled: its labels are placeholders, and a network trained on them is useless. Pre-train "
            "on it (SSLPretrainTrainer) and fine-tune on a labelled data set"
        )


def refuse_cascade(plans: Mapping[str, Any], configuration: str) -> None:
    """Refuse the second stage of a cascade.

    Raises:
        InputError: it is one.
    """
    if PlansManager(dict(plans)).get_configuration(configuration).previous_stage_name is not None:
        raise InputError(
            f"{configuration} is the second stage of a cascade, fed with segmentations; pre-train 3d_fullres instead"
        )
