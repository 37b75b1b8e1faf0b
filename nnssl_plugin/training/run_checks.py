"""What is wrong with a run, said before nnU-Net makes a folder for it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import load_json

from nnssl_plugin.data.dataset_json import is_unlabelled
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet import check_nnunet, folder_of
from nnssl_plugin.settings import PLANS_KEY, Settings, settings_from_dict, settings_from_plans


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
    if not owner.is_file() or load_json(owner) != dataset_json:
        raise InputError(
            f"the plans file {plans['plans_name']} belongs to {plans['dataset_name']}, not to the data set it was asked "
            "for with; make one for this data set with nnssl_plugin plan or nnssl_plugin align"
        )
    return settings


def refuse_unlabelled(dataset_json: Mapping[str, Any], dataset: str) -> None:
    """Refuse a data set whose labels are placeholders.

    Raises:
        InputError: it is one.
    """
    if is_unlabelled(dataset_json):
        raise InputError(
            f"{dataset} is unlabelled: its labels are placeholders, and a network trained on them is useless. Pre-train "
            "on it (SSLPretrainTrainer) and fine-tune on a labelled data set"
        )


def refuse_finished_run(output_folder: Path, section: str, settings: Settings, **recorded: str) -> None:
    """Refuse to train over a finished run that was made otherwise: nnU-Net would overwrite it.

    Args:
        output_folder: of the fold.
        section: of the settings, `pretraining` or `finetuning`.
        settings: of this run.
        recorded: what else must be as the finished run recorded it in its `init_args`.

    Raises:
        InputError: the folder holds a finished run with other settings or other starting weights.
    """
    final = output_folder / "checkpoint_final.pth"
    if not final.is_file():
        return
    finished = torch.load(final, map_location="cpu", weights_only=False, mmap=True)["init_args"]
    before = settings_from_dict(finished["plans"].get(PLANS_KEY, {})).to_dict()[section]
    now = settings.to_dict()[section]
    changed = [f"{section}.{key}" for key in now if now[key] != before[key]]
    changed += [key for key, value in recorded.items() if finished.get(key, value) != value]
    if changed:
        raise InputError(
            f"{output_folder} holds a finished run that differs in {', '.join(changed)} and would be overwritten. Make a "
            "plans copy of its own for each run (nnssl_plugin plan -o NAME) or remove the folder"
        )
