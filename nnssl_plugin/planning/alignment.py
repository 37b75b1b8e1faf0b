"""The checked wish to preprocess a data set exactly as the plans of another say."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import channel_names
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.nnunet.plans_file import configuration_of, load_plans, preprocessed_folder


@dataclass(frozen=True)
class Alignment:
    """A checked wish to preprocess `pretrain` by the plans of `target`.

    `plans`: the target's plans file. `configurations`: `data_identifier` (folder of preprocessed images) → one of the
    configurations that use it. `cases`: case ids of the raw pre-training data set.
    """

    pretrain: str
    target: str
    plans: dict[str, Any]
    configurations: dict[str, str]
    cases: frozenset[str]

    @property
    def folder(self) -> Path:
        """Preprocessed folder of the pre-training data set."""
        return preprocessed_folder(self.pretrain)


def check_alignment(pretrain: str, target: str, plans_name: str, configurations: list[str] | None) -> Alignment:
    """Check all that can be checked before any work.

    Args:
        pretrain: full name of the data set to preprocess.
        target: full name of the data set whose plans it gets.
        plans_name: of the target's plans.
        configurations: by default those the target is preprocessed for.

    Raises:
        InputError: a data set, plans file, configuration or image file is missing, or the channels differ.
    """
    if pretrain == target:
        raise InputError(f"--pretrain and --target are both {target}; a data set is aligned with another one")
    raw = folder_of("nnUNet_raw") / pretrain
    if not (raw / "dataset.json").is_file():
        raise InputError(
            f"no raw data of {pretrain}: {raw / 'dataset.json'} does not exist; convert the data set first"
        )
    plans = load_plans(target, plans_name)
    target_folder = preprocessed_folder(target)

    wanted = channel_names(read_json(target_folder / "dataset.json"))
    found = channel_names(read_json(raw / "dataset.json"))
    if found != wanted:
        raise InputError(
            f"channels of {pretrain} are {found}, those of {target} are {wanted}; they must be the same modalities in "
            "the same order under the same names (convert the data set again; nothing is reordered)"
        )

    if configurations is None:
        identifiers = {name: configuration_of(plans, name)["data_identifier"] for name in plans["configurations"]}
        configurations = [name for name, identifier in identifiers.items() if (target_folder / identifier).is_dir()]
        if not configurations:
            raise InputError(f"{target} is not preprocessed under {plans_name}; name the configurations with -c")
    # Several configurations may share their data (a cascade's with 3d_fullres); one of them is preprocessed.
    by_identifier: dict[str, str] = {}
    for name in configurations:
        by_identifier.setdefault(configuration_of(plans, name)["data_identifier"], name)
    return Alignment(pretrain, target, plans, by_identifier, _checked_cases(raw, len(wanted)))


def _checked_cases(raw: Path, channels: int) -> frozenset[str]:
    dataset = get_filenames_of_train_images_and_targets(str(raw))
    if not dataset:
        raise InputError(f"{raw} has no training cases")
    for case, files in dataset.items():
        if len(files["images"]) != channels:
            raise InputError(f"case {case} in {raw} has {len(files['images'])} image files, expected {channels}")
        for file in [*files["images"], files["label"]]:
            if not Path(file).is_file():
                raise InputError(f"case {case} in {raw}: {file} does not exist")
    return frozenset(str(case) for case in dataset)
