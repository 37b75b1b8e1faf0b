import torch
from torch import Tensor

ITERATIONS = 20


def sinkhorn(scores: Tensor) -> Tensor:
    """Rows and columns normalised in turn until (nearly) doubly stochastic: a soft permutation matrix.

    Sinkhorn operator (Adams & Zemel, arXiv 1106.1925), in logarithms and float32.

    Shape: `[B, T, T]` → `[B, T, T]`, rows and columns of sum 1.
    """
    with torch.autocast(scores.device.type, enabled=False):
        logarithm = scores.float()
        for _ in range(ITERATIONS):
            logarithm = logarithm.log_softmax(dim=2).log_softmax(dim=1)
        return logarithm.exp()
