"""Which positions of a feature map are selected."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# A position that stands for a smaller share of foreground is background.
FOREGROUND = 0.5


@dataclass
class Selection:
    """Which of T positions are selected.

    Attributes:
        chosen: `[B, T]`, bool; at most k in each row.
        weights: `[B, T]`, 1 where chosen and 0 elsewhere, with a gradient where scores are learned.
        probability: `[B, T]`, of each position: softmax of the scores over the foreground; equal where chance selects.
        foreground: `[B, T]`, the share of foreground in what each position stands for.
    """

    chosen: Tensor
    weights: Tensor
    probability: Tensor
    foreground: Tensor


def foreground_shares(foreground: Tensor, size: tuple[int, ...]) -> Tensor:
    """`[B, 1, *P]` → `[B, T]`, of a map of this size, positions in row-major order."""
    return F.interpolate(foreground.float(), size, mode="area").flatten(1)


def select(scores: Tensor, foreground: Tensor, count: int, learned: bool) -> Selection:
    """The `count` foreground positions with the highest scores; background counts where there is nothing else.

    Straight-through (Bengio et al. 2013, arXiv 1308.3432): forward, a position is in or out; backward, it has `count` times its
    probability, so that scores of positions that are out learn too.

    Args:
        scores: `[B, T]`.
        foreground: `[B, T]`, shares.
        count: k.
        learned: whether scores are, or are those of chance.
    """
    allowed = foreground >= FOREGROUND
    allowed |= ~allowed.any(dim=1, keepdim=True)
    scores = scores.masked_fill(~allowed, -torch.inf)
    best = scores.topk(min(count, scores.shape[1]), dim=1).indices
    chosen = torch.zeros_like(allowed).scatter(1, best, True) & allowed
    if not learned:
        return Selection(chosen, chosen.float(), allowed / allowed.sum(dim=1, keepdim=True), foreground)
    probability = scores.softmax(dim=1)
    soft = chosen.sum(dim=1, keepdim=True) * probability
    return Selection(chosen, chosen.float() + soft - soft.detach(), probability, foreground)


def selection_metrics(selection: Selection) -> dict[str, Tensor]:
    """Share of foreground in what is selected, beside that of all; entropy, 1 where no position is preferred, 0 where one is."""
    chosen, probability = selection.chosen, selection.probability
    possible = (probability > 0).sum(dim=1).clamp(min=2)
    entropy = -torch.special.xlogy(probability, probability).sum(dim=1) / possible.log()
    return {
        "foreground": (selection.foreground * chosen).sum() / chosen.sum(),
        "foreground_chance": selection.foreground.mean(),
        "entropy": entropy.mean(),
    }
