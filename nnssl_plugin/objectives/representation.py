"""Measures of a representation: what says whether features carry anything, and whether they have collapsed."""

import torch
from torch import Tensor


def alignment(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared distance of positive pairs of unit vectors (Wang & Isola, ICML 2020, arXiv 2005.10242).

    Shape: two `[N, D]` → scalar; 0 is perfect, 2 what unrelated vectors have.
    """
    return (first - second).pow(2).sum(dim=1).mean()


def uniformity(embeddings: Tensor, groups: Tensor) -> Tensor:
    """Log of the mean Gaussian potential between unit vectors of different groups (Wang & Isola, section 4).

    Shape: `[N, D]` and `[N]` → scalar ≤ 0; 0 is a collapse. 0 too where there is only one group.
    """
    different = groups[:, None] != groups[None, :]
    potential = torch.exp(-2 * torch.cdist(embeddings, embeddings).pow(2))
    return (
        torch.log((potential * different).sum().clamp(min=1e-12) / different.sum())
        if different.any()
        else (embeddings.new_zeros(()))
    )


def retrieval_top1(
    queries: Tensor, candidates: Tensor, query_groups: Tensor, candidate_groups: Tensor
) -> tuple[Tensor, Tensor]:
    """How often the candidate nearest to a query is of the query's group, and how often a random one would be.

    Shape: `[N, D]`, `[M, D]`, `[N]`, `[M]` → two scalars.
    """
    same = query_groups[:, None] == candidate_groups[None, :]
    nearest = (queries @ candidates.T).argmax(dim=1)
    hit = same.gather(1, nearest[:, None]).float().mean()
    return hit, same.float().mean()


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
