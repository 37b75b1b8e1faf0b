import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnssl_plugin.networks.heads import mlp
from nnssl_plugin.objectives.placed_tokens import PlacedTokens
from nnssl_plugin.objectives.region_interaction import Parts
from nnssl_plugin.objectives.region_selection import Selection, foreground_shares, select


class RegionEncoder(nn.Module):
    """Positions of an encoder stage → the k that count, as vectors of a joint space (ours).

    Two perceptrons make a score and a vector of each position; the image's vector is the mean over those with the highest scores.
    In float32.

    Args:
        features: channels of the stage.
        axes: of the patch.
        size: D of the joint space.
        count: k, positions to select.
        learned: whether scores are learned; if not, noise takes their place.
    """

    def __init__(self, features: int, axes: int, size: int, count: int, learned: bool) -> None:
        super().__init__()
        self.count = count
        self.tokens = PlacedTokens(features, axes)
        self.projection = mlp(features, features, size)
        # Softmax takes no notice of a bias.
        self.score = mlp(features, features, 1, bias=False) if learned else None

    def forward(self, stage: Tensor, foreground: Tensor, noise: Tensor | None = None) -> tuple[Parts, Selection]:
        """The selected positions, in row-major order, and which they are.

        Shape: `[B, F, *V]`, `[B, 1, *P]`, `[B, T or more]` → parts of B patches with k regions.
        """
        size = tuple(stage.shape[2:])
        with torch.autocast(stage.device.type, enabled=False):
            tokens = self.tokens(stage)
            if self.score is not None:
                scores = self.score(tokens)[..., 0]
            elif noise is not None:
                scores = noise[:, : tokens.shape[1]]
            else:
                raise ValueError("chance selects, and there is no noise")
            selection = select(scores, foreground_shares(foreground, size), self.count, self.score is not None)
            vectors: Tensor = self.projection(tokens)
            total = (selection.weights[..., None] * vectors).sum(dim=1)
            whole = F.normalize(total / selection.chosen.sum(dim=1, keepdim=True), dim=1)
            index = selected(selection, self.count)
            vectors = vectors.gather(1, index[..., None].expand(-1, -1, vectors.shape[2]))
            return Parts(whole, F.normalize(vectors, dim=2), selection.weights.gather(1, index)), selection


def selected(selection: Selection, count: int) -> Tensor:
    """`[B, k]`, numbers of the selected positions in order; where a row has fewer, others follow, with weight 0."""
    count = min(count, selection.chosen.shape[1])
    return selection.chosen.byte().sort(dim=1, descending=True, stable=True).indices[:, :count]
