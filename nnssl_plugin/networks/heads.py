from torch import nn


def mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two-layer perceptron, the head of classification and the projection head of contrast.

    Shape: `[N, inputs]` → `[N, outputs]`.
    """
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LeakyReLU(inplace=True), nn.Linear(hidden, outputs))
