import torch

from nnssl_plugin.errors import InputError


def torch_device(name: str) -> torch.device:
    """The device of nnU-Net's option `-device`.

    Raises:
        InputError: there is none on this machine.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("-device cuda: there is no GPU here; -device cpu predicts without one")
    if name == "mps" and not torch.backends.mps.is_available():
        raise InputError("-device mps: there is no Apple GPU here; -device cpu predicts without one")
    return torch.device(name)
