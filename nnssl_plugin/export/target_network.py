"""The network that a target's plans describe, as nnU-Net would start training it."""

from dataclasses import dataclass
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import nn

from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import channel_names
from nnssl_plugin.nnunet.environment import check_nnunet, dataset_name
from nnssl_plugin.nnunet.plans_file import configuration_of, load_plans, preprocessed_folder
from nnssl_plugin.training.run_checks import refuse_cascade

# Fresh layers of an export are the same whenever it is made again.
FRESH_LAYERS_SEED = 12345


@dataclass(frozen=True)
class TargetNetwork:
    """Where weights go: data set (full name), plans, configuration and channel names."""

    dataset: str
    plans: dict[str, Any]
    configuration: str
    channels: list[str]
    dataset_json: dict[str, Any]

    @property
    def patch_size(self) -> list[int]:
        """Of the configuration, in voxels."""
        return list(configuration_of(self.plans, self.configuration)["patch_size"])

    def fresh_network(self, seed: int = FRESH_LAYERS_SEED) -> nn.Module:
        """Built and initialised by nnU-Net, alike for one seed, with deep supervision, on the CPU."""
        plans = PlansManager(self.plans)
        configuration = plans.get_configuration(self.configuration)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return nnUNetTrainer.build_network_architecture(
                plans,
                configuration,
                determine_num_input_channels(plans, configuration, self.dataset_json),
                plans.get_label_manager(self.dataset_json).num_segmentation_heads,
                enable_deep_supervision=True,
            )


def find_target_network(name_or_id: str, plans_name: str, configuration: str) -> TargetNetwork:
    """The target of this data set, plans and configuration.

    Raises:
        InputError: one of them does not exist, or the configuration is a cascade's second stage.
    """
    check_nnunet("nnUNet_preprocessed")
    dataset = dataset_name(name_or_id)
    plans = load_plans(dataset, plans_name)
    configuration_of(plans, configuration)
    refuse_cascade(plans, configuration)
    dataset_json = read_json(preprocessed_folder(dataset) / "dataset.json")
    return TargetNetwork(dataset, plans, configuration, channel_names(dataset_json), dataset_json)
