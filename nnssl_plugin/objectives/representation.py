"""Measures of a representation: what says whether features carry anything, and whether they have collapsed."""

import torch
from torch import Tensor


def alignment(first: Tensor, second: Tensor, valid: Tensor) -> Tensor:
    """Mean squared distance of positive pairs of unit vectors (Wang & Isola, ICML 2020, arXiv 2005.10242).

    Shape: two `[N, D]`, `[N]` (bool) → scalar; 0 is perfect, 2 what unrelated vectors have, NaN where nothing is valid.
    """
    return _mean((first - second).pow(2).sum(dim=1), valid)


def uniformity(embeddings: Tensor, groups: Tensor, valid: Tensor) -> Tensor:
    """Log of the mean Gaussian potential between unit vectors of different groups (Wang & Isola, section 4).

    Shape: `[N, D]`, `[N]`, `[N]` (bool) → scalar ≤ 0; 0 is a collapse. NaN where there are no two groups.
    """
    counted = (groups[:, None] != groups[None, :]) & valid[:, None] & valid[None, :]
    return torch.log(_mean(torch.exp(-2 * torch.cdist(embeddings, embeddings).pow(2)), counted))


def retrieval_top1(queries: Tensor, candidates: Tensor, groups: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """How often the candidate nearest to a query is of the query's group, and how often a random one would be.

    Shape: two `[N, D]`, `[N]`, `[N]` (bool) → two scalars; NaN where nothing is valid.
    """
    same = (groups[:, None] == groups[None, :]).float()
    nearest = (queries @ candidates.T).masked_fill(~valid[None, :], -torch.inf).argmax(dim=1)
    hit = same.gather(1, nearest[:, None])[:, 0]
    return _mean(hit, valid), _mean(same, valid[:, None] & valid[None, :])


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the values that count, without a shape that depends on the data."""
    return torch.where(counted, values, 0).sum() / counted.sum()


def effective_rank(features: Tensor) -> float:
    """Exponential of the entropy of the normalised singular values (RankMe, ICML 2023, arXiv 2210.02885, eq. 1).

    Shape: `[N, D]`, centred here → between 1 (a collapse) and min(N - 1, D); 0 where all rows are the same.
    """
    centred = (features - features.mean(dim=0)).cpu().double()
    singular = torch.linalg.svdvals(centred)
    if singular.sum() < 1e-12:
        return 0.0
    share = singular / singular.sum()
    return float(torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum()))
