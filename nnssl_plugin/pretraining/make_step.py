from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nnssl_plugin.data.batch import Patches
from nnssl_plugin.objectives.objective import NetworkShape
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.meta_weights import MetaWeights
from nnssl_plugin.pretraining.optimizer import adamw
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from nnssl_plugin.pretraining.run import PretrainingRun
from nnssl_plugin.pretraining.step import PretrainingStep
from nnssl_plugin.pretraining.step_budget import PatchBudget


def make_step(
    run: PretrainingRun, network: Any, patches: Mapping[Patches, PatchBudget], device: torch.device, ddp: bool
) -> PretrainingStep:
    """Hang the heads of the objectives beside the network, and AdamW under both.

    Args:
        run: what is trained.
        network: of the plans.
        patches: of this process, kind → size and number.
        device: of everything.
        ddp: whether several processes train together.
    """
    stride = np.prod(run.configuration.pool_op_kernel_sizes, axis=0)
    bottleneck = tuple((np.array(run.configuration.patch_size) // stride).tolist())
    features = tuple(network.encoder.output_channels)
    objectives = {
        name: OBJECTIVES[name](
            section, NetworkShape(run.modalities, patches[run.needs[name].patches].patch_size, bottleneck, features)
        )
        for name, section in run.active.items()
    }
    pretraining_network = PretrainingNetwork(network, objectives, run.needs).to(device)
    optimizer = adamw(pretraining_network.parameters(), run.settings.initial_lr, run.settings.weight_decay)
    meta = None
    if run.weighted:
        meta = MetaWeights(pretraining_network, run.weighted, run.settings.meta.learning_rate)
    return PretrainingStep(pretraining_network, optimizer, device, ddp, meta)
