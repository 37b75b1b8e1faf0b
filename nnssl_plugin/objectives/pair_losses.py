"""Losses of pairs before they are one number, so that weights can come from outside."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class PairLosses:
    """The loss of every pair a contrastive loss compares; the contract of pytorch-metric-learning, with static shapes.

    Attributes:
        values: `[M]`, finite also where a pair does not count.
        first, second: `[M]`, rows of the embeddings that are compared.
        counted: `[M]`, bool; a pair that does not count is there only so that shapes do not depend on the data.
    """

    values: Tensor
    first: Tensor
    second: Tensor
    counted: Tensor


def mean_of_pairs(pairs: PairLosses, weights: Tensor | None = None) -> Tensor:
    """Mean over the pairs that count, by default each alike; 0 where none does.

    Args:
        pairs: M of them.
        weights: `[M]`, not negative.
    """
    counted = pairs.counted.to(pairs.values.dtype)
    each = counted if weights is None else counted * weights
    total = each.sum()
    return (pairs.values * each).sum() / torch.where(total > 0, total, 1)


def first_with_second(count: int, device: torch.device) -> PairLosses:
    """Row i of one view with row i of the other, of embeddings of `count` rows a view; without losses."""
    rows = torch.arange(count, device=device)
    return PairLosses(torch.zeros(count, device=device), rows, rows + count, torch.ones_like(rows, dtype=torch.bool))
