from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

# The decoder first: its rate is the one nnU-Net logs and plots, and it is never frozen.
DECODER, ENCODER, SEGMENTATION = "decoder", "encoder", "segmentation layers"


def unwrapped(network: Any) -> Any:
    """The U-Net itself, out of DDP's and torch.compile's wrappers."""
    if isinstance(network, DistributedDataParallel):
        network = network.module
    return getattr(network, "_orig_mod", network)


def parts_of(network: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters that have learning rates of their own: decoder, encoder and segmentation layers, each once.

    A part is frozen by a learning rate of 0: `requires_grad` would leave gradients unsynchronised under DDP.

    Args:
        network: a U-Net with `encoder` and `decoder.seg_layers`, wrapped or not; what is in neither counts as decoder.
    """
    unet = unwrapped(network)
    segmentation, encoder = list(unet.decoder.seg_layers.parameters()), list(unet.encoder.parameters())
    taken = {id(parameter) for parameter in [*segmentation, *encoder]}
    decoder = [parameter for parameter in unet.parameters() if id(parameter) not in taken]
    return {DECODER: decoder, ENCODER: encoder, SEGMENTATION: segmentation}
