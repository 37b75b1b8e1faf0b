"""Plans whose network has the contextual fusion block (CFB) at its bottleneck."""

from copy import deepcopy
from typing import Any

import numpy as np

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.plans_file import configuration_of

STOCK = "dynamic_network_architectures.architectures.unet"
OURS = "nnssl_plugin.networks.contextual_fusion_unet"
FUSED = {
    f"{STOCK}.PlainConvUNet": f"{OURS}.ContextualFusionPlainConvUNet",
    f"{STOCK}.ResidualEncoderUNet": f"{OURS}.ContextualFusionResidualEncoderUNet",
}


def has_contextual_fusion(plans: dict[str, Any]) -> bool:
    """Whether the networks of `plans` have the CFB."""
    named = {entries.get("architecture", {}).get("network_class_name") for entries in plans["configurations"].values()}
    return not named.isdisjoint(FUSED.values())


def with_contextual_fusion(plans: dict[str, Any]) -> dict[str, Any]:
    """`plans` with the CFB in the network of every configuration that describes one; those that inherit follow.

    Raises:
        InputError: a network is neither nnU-Net's plain nor its residual encoder U-Net.
    """
    fused = deepcopy(plans)
    for name, entries in plans["configurations"].items():
        whole = configuration_of(plans, name)
        if "inherits_from" in entries and "architecture" not in entries and "patch_size" not in entries:
            continue
        architecture = whole["architecture"]
        known = architecture["network_class_name"]
        if known not in FUSED and known not in FUSED.values():
            raise InputError(
                f"configuration {name}: --cfb knows nnU-Net's plain and residual encoder U-Net, not {known}"
            )
        arguments = architecture["arch_kwargs"]
        bottleneck = np.array(whole["patch_size"]) // np.prod(arguments["strides"], axis=0)
        fused["configurations"][name]["architecture"] = {
            **architecture,
            "network_class_name": FUSED.get(known, known),
            "arch_kwargs": {**arguments, "fusion_bottleneck": bottleneck.tolist()},
        }
    return fused
