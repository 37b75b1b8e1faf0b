"""What is wrong with a run, said before nnU-Net makes a folder for it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from batchgenerators.utilities.file_and_folder_operations import load_json
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.recorded import recorded_section
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import is_pseudo_labelled, is_unlabelled
from nnssl_plugin.nnunet.environment import check_nnunet, folder_of
from nnssl_plugin.settings.earlier_version import finetuning_of_today
from nnssl_plugin.settings.settings import FinetuningSettings, PretrainingSettings, Settings, settings_from_plans

# Where nnU-Net's `init_args` of a checkpoint hold the record of the run.
RECORD = "nnssl_plugin"


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


def run_record(
    settings: Mapping[str, Any], configuration: Mapping[str, Any], training_cases: Sequence[str], **more: str
) -> dict[str, Any]:
    """What makes a run this run and no other: resolved settings, network, and which cases (as a hash, to be shared)."""
    cases = hashlib.sha256("\n".join(sorted(training_cases)).encode()).hexdigest()
    return {**settings, "configuration": dict(configuration), "training cases": cases, **more}


def refuse_finished_run(output_folder: Path, record: Mapping[str, Any]) -> None:
    """Refuse to train over a finished run that was made otherwise: nnU-Net would overwrite it.

    Args:
        output_folder: of the fold.
        record: of the run that is about to start.

    Raises:
        InputError: the folder holds a finished run with another record.
    """
    final = output_folder / "checkpoint_final.pth"
    if not final.is_file():
        return
    finished = recorded_section(read_checkpoint(final, mmap=True), "init_args", RECORD)
    changed = differences(finished, record)
    if changed:
        raise InputError(
            f"{output_folder} holds a finished run that differs in {', '.join(changed)} and would be overwritten. Make a "
            "plans copy of its own for each run (nnssl_plugin plan -o NAME) or remove the folder"
        )


def refuse_other_settings(
    checkpoint: str, init_args: Mapping[str, Any], settings: PretrainingSettings | FinetuningSettings
) -> None:
    """Refuse to resume a run with other settings than it was started with.

    A setting that the record lacks came with a later version of the plugin, whose default is what was done before.

    Raises:
        InputError: they differ; the message names in what.
    """
    now = asdict(settings)
    recorded = recorded_section(init_args, RECORD)
    if isinstance(settings, FinetuningSettings):
        recorded = finetuning_of_today(recorded)
    before = {key: value for key, value in recorded.items() if key in now}
    changed = differences(_filled(before, asdict(type(settings)())), now)
    if before and changed:
        raise InputError(
            f"{checkpoint} was made with other settings ({', '.join(changed)}) than the plans hold now; resume with the "
            "plans it was started with"
        )


def _filled(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, and the defaults of what is missing, in every section."""
    return {
        **values,
        **{
            key: _filled(values.get(key, {}), default) if isinstance(default, Mapping) else values.get(key, default)
            for key, default in defaults.items()
        },
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of the entries of `now` that are not so in `before`."""
    found = []
    for key, value in now.items():
        if isinstance(value, Mapping) and isinstance(before.get(key), Mapping):
            found += differences(before[key], value, f"{prefix}{key}.")
        elif before.get(key) != value:
            found.append(prefix + key)
    return found
