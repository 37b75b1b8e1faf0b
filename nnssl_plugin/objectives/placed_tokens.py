import torch
from torch import Tensor, nn


class PlacedTokens(nn.Module):
    """Positions of a feature map as tokens: their features, normalised at each position, plus a projection of their place.

    Behind instance norms a channel's mean over space is nearly the same in every image; what differs is at the positions, so
    that heads are applied to these before they are averaged.

    Shape: `[B, F, *V]` → `[B, T, F]`, float32, in row-major order; call it outside of autocast.
    """

    def __init__(self, features: int, axes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.place = nn.Linear(axes, features, bias=False)

    def forward(self, stage: Tensor) -> Tensor:
        """Tokens."""
        features = self.norm(stage.flatten(2).transpose(1, 2).float())
        placed: Tensor = features + self.place(places(tuple(stage.shape[2:]), stage.device))
        return placed


def places(size: tuple[int, ...], device: torch.device) -> Tensor:
    """`[T, axes]`, where the positions of a map are in the patch, −1 to 1 along each axis."""
    axes = [(torch.arange(length, device=device) + 0.5) * 2 / length - 1 for length in size]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
