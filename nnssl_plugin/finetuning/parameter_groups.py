from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

# The decoder first: its rate is the one nnU-Net logs and plots, and it is never frozen.
DECODER, ENCODER, SEGMENTATION = "decoder", "encoder", "segmentation layers"


def unwrapped(network: Any) -> Any:
    """The U-Net itself, out of DDP's and torch.compile's wrappers."""
    if isinstance(network, DistributedDataParallel):
        network = network.module
    return getattr(network, "_orig_mod", network)


def split_groups(optimizer: Optimizer, network: nn.Module) -> None:
    """Give encoder, decoder and segmentation layers parameter groups of their own, named, otherwise as they were.

    A part is frozen by a learning rate of 0: `requires_grad` would leave gradients unsynchronised under DDP.

    Args:
        optimizer: over all parameters of `network`.
        network: a U-Net with `encoder` and `decoder.seg_layers`.
    """
    unet = unwrapped(network)
    segmentation, encoder = list(unet.decoder.seg_layers.parameters()), list(unet.encoder.parameters())
    taken = {id(parameter) for parameter in [*segmentation, *encoder]}
    decoder = [parameter for parameter in unet.parameters() if id(parameter) not in taken]
    optimizer.param_groups.clear()
    for name, parameters in ((DECODER, decoder), (ENCODER, encoder), (SEGMENTATION, segmentation)):
        optimizer.add_param_group({"params": parameters, "name": name})
