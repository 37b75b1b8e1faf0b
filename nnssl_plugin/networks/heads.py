from torch import nn


def mlp(inputs: int, hidden: int, outputs: int, bias: bool = True) -> nn.Sequential:
    """Two-layer perceptron, the head of classification and the projection head of contrast.

    Args:
        inputs: width of what comes in.
        hidden: width of the layer between.
        outputs: width of what comes out.
        bias: whether the last layer has one.

    Shape: `[N, inputs]` → `[N, outputs]`.
    """
    return nn.Sequential(nn.Linear(inputs, hidden), nn.LeakyReLU(inplace=True), nn.Linear(hidden, outputs, bias=bias))
