"""nnU-Net's checkpoint of a fine-tuned network, with what it is made of."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnssl_plugin.checkpoints.checkpoint_file import save_atomically, to_plain
from nnssl_plugin.checkpoints.provenance import NNUNET
from nnssl_plugin.checkpoints.recorded import PLUGIN

STOCK_NETWORKS = "dynamic_network_architectures."


def save_finetuned(
    filename: str,
    save: Callable[[Any], None],
    configuration: ConfigurationManager,
    provenance: Mapping[str, Any],
) -> None:
    """Write what nnU-Net saves, whole or not at all, readable with `weights_only=True`.

    Args:
        filename: of the checkpoint.
        save: nnU-Net's `save_checkpoint`, which takes a stream as well as a name.
        configuration: a network that nnU-Net itself can build is saved as nnUNetTrainer's: predicting with it needs
            nothing of the plugin.
        provenance: what it is made of.
    """
    stream = io.BytesIO()
    save(stream)
    stream.seek(0)
    content = torch.load(stream, map_location="cpu", weights_only=False)
    own: dict[str, Any] = {"citations": [NNUNET], PLUGIN: {"provenance": provenance}}
    if configuration.network_arch_class_name.startswith(STOCK_NETWORKS):
        own["trainer_name"] = nnUNetTrainer.__name__
    save_atomically(to_plain({**content, **own}), filename)
