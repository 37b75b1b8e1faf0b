"""The plans files in a data set's preprocessed folder."""

import json
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.environment import folder_of

# Entries of a configuration that decide what its preprocessed images hold.
PREPROCESSING = (
    "preprocessor_name",
    "spacing",
    "normalization_schemes",
    "use_mask_for_norm",
    "resampling_fn_data",
    "resampling_fn_data_kwargs",
    "resampling_fn_seg",
    "resampling_fn_seg_kwargs",
)


def preprocessed_folder(dataset: str) -> Path:
    """Folder of the data set with this full name in `nnUNet_preprocessed`."""
    return folder_of("nnUNet_preprocessed") / dataset


def plans_of(dataset: str) -> dict[str, dict[str, Any]]:
    """Name → content of every readable plans file of a data set."""
    found = {}
    for path in sorted(preprocessed_folder(dataset).glob("*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            continue
        if isinstance(content, dict) and "configurations" in content:
            found[path.stem] = content
    return found


def load_plans(dataset: str, name: str) -> dict[str, Any]:
    """Plans `name` of a data set, given by its full name.

    Raises:
        InputError: there is no such plans file, or it was made for another data set.
    """
    known = plans_of(dataset)
    path = preprocessed_folder(dataset) / f"{name}.json"
    if name not in known:
        if path.is_file():
            raise InputError(f"{path} is not a plans file (damaged, or it has no configurations)")
        there = (
            f"there are: {', '.join(known)}"
            if known
            else f"it has none; run nnUNetv2_plan_and_preprocess -d {dataset[7:10]}"
        )
        raise InputError(f"{dataset} has no plans {name!r} in {path.parent}; {there}")
    made_for = known[name].get("dataset_name")
    if made_for != dataset:
        raise InputError(f"{path} is a plans file of another data set, {made_for}; plan {dataset} itself")
    return known[name]


def configuration_of(plans: dict[str, Any], name: str) -> dict[str, Any]:
    """One configuration with what it inherits.

    Raises:
        InputError: the plans have no such configuration.
    """
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    if name not in plans["configurations"]:
        known = ", ".join(plans["configurations"])
        raise InputError(f"plans {plans['plans_name']!r} have no configuration {name!r}; they have: {known}")
    configuration: dict[str, Any] = PlansManager(plans).get_configuration(name).configuration
    return configuration


def preprocessing_by_identifier(plans: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Folder of preprocessed images → what decides what they hold, for every configuration of the plans."""
    shared = {
        "transpose_forward": plans["transpose_forward"],
        "intensities": plans.get("foreground_intensity_properties_per_channel"),
    }
    entries = {}
    for name in plans["configurations"]:
        configuration = configuration_of(plans, name)
        entries[configuration["data_identifier"]] = {key: configuration.get(key) for key in PREPROCESSING} | shared
    return entries
