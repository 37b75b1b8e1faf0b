from collections.abc import Callable, Sequence
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

# Patch size, and whether the decoder runs → values in the feature maps.
FeatureMaps = Callable[[Sequence[int], bool], float]


def feature_map_values(configuration: ConfigurationManager, channels: int) -> FeatureMaps:
    """How many values the feature maps of the plans' network have, by which nnU-Net's planner estimates time and memory."""
    # On the meta device nothing is allocated.
    with torch.device("meta"):
        network: Any = get_network_from_plans(
            configuration.network_arch_class_name,
            configuration.network_arch_init_kwargs,
            configuration.network_arch_init_kwargs_req_import,
            channels,
            2,
            allow_init=False,
            deep_supervision=False,
        )

    def values(size: Sequence[int], decoded: bool) -> float:
        encoder = float(network.encoder.compute_conv_feature_map_size(size))
        return encoder + float(network.decoder.compute_conv_feature_map_size(size)) * decoded

    return values
