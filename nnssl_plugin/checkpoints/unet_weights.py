"""What names and shapes of a U-Net's weights tell about it, without building it."""

import re
from collections.abc import Mapping

from torch import Tensor

from nnssl_plugin.errors import InputError

# Part of the names of nnU-Net's segmentation layers, which -pretrained_weights leaves out.
SEGMENTATION = ".seg_layers."
FIRST_CONVOLUTION = r"encoder\.(stem|stages\.0\.0)\.convs\.0\.conv\.weight"


def family(weights: Mapping[str, Tensor]) -> str:
    """Kind and dimension, like `plain 3d` or `residual-encoder 2d`.

    Raises:
        InputError: these are not the weights of a U-Net as nnU-Net's plans describe it.
    """
    for kind, pattern in (
        ("residual-encoder", r"encoder\.stages\.\d+\.blocks\."),
        ("plain", r"encoder\.stages\.\d+\."),
    ):
        kernels = [value for name, value in weights.items() if re.match(pattern, name) and value.ndim > 3]
        if kernels:
            return f"{kind} {kernels[0].ndim - 2}d"
    raise InputError(
        "the checkpoint's network is no U-Net as nnU-Net's plans describe it (it has no convolutions in encoder.stages)"
    )


def input_channels(weights: Mapping[str, Tensor]) -> int | None:
    """Of the first convolution; None where there is none under nnU-Net's names."""
    return next((value.shape[1] for name, value in weights.items() if re.fullmatch(FIRST_CONVOLUTION, name)), None)


def summary(weights: Mapping[str, Tensor]) -> str:
    """Family, features of the encoder's stages and outputs, in words."""
    try:
        kind = family(weights)
    except InputError:
        return f"no U-Net of nnU-Net's; {len(weights)} tensors"
    widths = {}
    for name, value in weights.items():
        match = re.match(r"encoder\.stages\.(\d+)\.", name)
        if match and value.ndim > 3:
            widths[int(match[1])] = value.shape[0]
    features = " ".join(str(widths[stage]) for stage in sorted(widths))
    heads = [value.shape[0] for name, value in weights.items() if SEGMENTATION in name and name.endswith("weight")]
    output = f", {heads[-1]} segmentation outputs" if heads else ", no decoder"
    return f"{kind} U-Net, features {features}{output}"
