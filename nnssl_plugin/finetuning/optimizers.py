"""The optimisers of fine-tuning: nnU-Net's own, or AdamW."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from nnssl_plugin.finetuning.parameter_groups import parts_of

# Loshchilov & Hutter 2019 (arXiv 1711.05101); torch's default strength.
ADAMW_WEIGHT_DECAY = 1e-2


def sgd_by_part(optimizer: Optimizer, network: nn.Module) -> None:
    """Give the parts of the network groups of their own in nnU-Net's optimiser, which otherwise stays as it is.

    Args:
        optimizer: nnU-Net's, over all parameters of `network`.
        network: see `parts_of`.
    """
    optimizer.param_groups.clear()
    for name, parameters in parts_of(network).items():
        optimizer.add_param_group({"params": parameters, "name": name})


def adamw_by_part(network: nn.Module, learning_rate: float) -> AdamW:
    """AdamW over the parts of the network; norms and biases do not decay.

    Args:
        network: see `parts_of`.
        learning_rate: of every group, until a schedule sets it.
    """
    groups = [group for name, parameters in parts_of(network).items() for group in _by_decay(name, parameters)]
    return AdamW(groups, learning_rate, weight_decay=ADAMW_WEIGHT_DECAY)


def _by_decay(name: str, parameters: Sequence[nn.Parameter]) -> Iterable[dict[str, Any]]:
    kernels = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    yield {"params": kernels, "name": name}
    if others:
        yield {"params": others, "name": name, "weight_decay": 0.0}
