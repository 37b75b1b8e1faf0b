from typing import Any

from torch import Tensor


def encoder_features(network: Any, images: Tensor) -> list[Tensor]:
    """What the decoder gets of `[N, C, *V]`: features of every encoder stage, the bottleneck last."""
    # Networks of ours put something between encoder and decoder; stock ones have no such method.
    encode = getattr(network, "encode", network.encoder)
    features: list[Tensor] = encode(images)
    return features
