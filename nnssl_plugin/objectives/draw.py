import torch
from torch import Tensor


def draw_one(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw one column of each row with a probability in proportion to its weight.

    What `torch.multinomial` does, without its check of the weights, for which the host would wait for the device.

    Args:
        weights: `[N, K]`, not negative, in each row one above 0.
        generator: on the device of `weights`.

    Returns:
        `[N]`.
    """
    # Of exponential variables of rates w the k-th is the smallest with a probability in proportion to w_k.
    waits = torch.empty_like(weights).exponential_(generator=generator)
    return (weights / waits).argmax(dim=1)
