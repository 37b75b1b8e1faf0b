import torch
from torch import Tensor, nn

HIDDEN = 128


class GatedAttentionPooling(nn.Module):
    """Weighs the tiles of a case by gated attention (Ilse, Tomczak & Welling, ICML 2018, arXiv 1802.04712, section 2.4).

    Args:
        features: length F of a tile's vector.

    Shape: `[B, T, F]` → `[B, F]` and the weights `[B, T]`, which sum to 1 over the tiles of each case.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.value = nn.Linear(features, HIDDEN)
        self.gate = nn.Linear(features, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1)

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted mean of the tiles, and the weights."""
        scores = self.score(torch.tanh(self.value(tiles)) * torch.sigmoid(self.gate(tiles))).squeeze(-1)
        weights = scores.softmax(dim=1)
        return torch.einsum("btf,bt->bf", tiles, weights), weights


class MeanPooling(nn.Module):
    """Weighs the tiles of a case alike; shapes as `GatedAttentionPooling`."""

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        """Mean of the tiles, and equal weights."""
        return tiles.mean(dim=1), tiles.new_full(tiles.shape[:2], 1 / tiles.shape[1])
