"""How the losses of pairs become one: all alike, or weighted by a small network that is learned on other cases."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnssl_plugin.objectives.pair_losses import PairLosses, mean_of_pairs

Weighting = Literal["mean", "meta"]
HIDDEN = 10
# Weights are between 0.12 and 0.88.
LARGEST_LOGIT = 2.0


class PairWeights(nn.Module):
    """Weight of a pair in (0, 1) (Meta-USCL, IEEE TMI 2022, arXiv 2212.04097).

    The paper's code: both representations, before the projection → 10 → ReLU → 1 → sigmoid. Ours: of both, normalised, the sum
    and the absolute difference, so that a pair weighs the same in either order; weights are about 1/2 in the mean, as only their ratios
    count, and limited, as the best ones for a single step would leave a single pair. `nnssl_plugin.pretraining.meta_weights` trains it;
    to the loss that uses it, it is constant.

    Args:
        features: F, length of a representation.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2 * features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1, bias=False))
        self.requires_grad_(False)

    def forward(self, representations: Tensor, pairs: PairLosses) -> Tensor:
        """`[M]`, of the pairs of rows of `[N, F]`; in float32."""
        with torch.autocast(representations.device.type, enabled=False):
            rows = F.layer_norm(representations.float(), representations.shape[1:])
            a, b = rows[pairs.first], rows[pairs.second]
            logits = self.net(torch.cat([a + b, (a - b).abs()], dim=1)).squeeze(1)
            counted = pairs.counted.float()
            middle = (logits * counted).sum() / counted.sum().clamp(min=1)
            weights: Tensor = (LARGEST_LOGIT * (logits - middle).tanh()).sigmoid()
            return weights


@dataclass
class WeightedPairs:
    """Pairs with what weighs them. `representations`: `[N, F]`, detached; `weigh`: the network that does."""

    pairs: PairLosses
    representations: Tensor
    weigh: PairWeights


class PairReducer(nn.Module):
    """Makes one loss of the losses of pairs.

    Args:
        features: length of a representation.
        weighting: `mean`: all alike; `meta`: by `PairWeights`.
    """

    def __init__(self, features: int, weighting: Weighting) -> None:
        super().__init__()
        self.weigh = PairWeights(features) if weighting == "meta" else None

    def forward(self, pairs: PairLosses, representations: Callable[[], Tensor]) -> tuple[Tensor, list[WeightedPairs]]:
        """The loss, and the pairs where their weights are learned.

        Args:
            pairs: with their losses.
            representations: gathers `[N, F]`, detached, over processes; called only where weights are learned.
        """
        if self.weigh is None:
            return mean_of_pairs(pairs), []
        rows = representations()
        return mean_of_pairs(pairs, self.weigh(rows, pairs)), [WeightedPairs(pairs, rows, self.weigh)]


def weight_metrics(weighted: list[WeightedPairs]) -> dict[str, Tensor]:
    """Mean and standard deviation of the weights of the pairs that count; nothing where none are learned."""
    if not weighted:
        return {}
    means, squares = [], []
    with torch.no_grad():
        for one in weighted:
            weights = one.weigh(one.representations, one.pairs)
            means.append(mean_of_pairs(PairLosses(weights, one.pairs.first, one.pairs.second, one.pairs.counted)))
            squares.append(mean_of_pairs(PairLosses(weights**2, one.pairs.first, one.pairs.second, one.pairs.counted)))
        mean, square = torch.stack(means).mean(), torch.stack(squares).mean()
        return {"weight_mean": mean, "weight_sd": (square - mean**2).clamp(min=0).sqrt()}
