"""Words against selected regions, both ways: cross-attention, and the similarity of image and report that follows from it.

As in GLoRIA (Huang et al., ICCV 2021), words attend to regions in a joint space and are compared with what they see; ours:
regions attend to words likewise.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nnssl_plugin.objectives.gather import gather_rows

# GLoRIA's: cosines are multiplied by these before the softmax over keys, and before the mean over queries.
SHARPNESS = 4.0
EMPHASIS = 5.0


@dataclass
class Parts:
    """N images and their regions, or N reports and their words, in a joint space.

    Attributes:
        whole: `[N, D]`, unit vectors of images or reports.
        vectors: `[N, K, D]`, unit vectors of regions or words.
        weights: `[N, K]`, 0 where there is none.
    """

    whole: Tensor
    vectors: Tensor
    weights: Tensor

    def gathered(self) -> "Parts":
        """Of all processes."""
        return Parts(gather_rows(self.whole), gather_rows(self.vectors), gather_rows(self.weights))

    def as_one(self) -> "Parts":
        """The tiles of one image as that image: their mean, and the parts of all."""
        whole = F.normalize(self.whole.mean(dim=0, keepdim=True), dim=1)
        return Parts(whole, self.vectors.flatten(0, 1)[None], self.weights.flatten()[None])


def attention(queries: Tensor, keys: Tensor, weights: Tensor) -> Tensor:
    """Where each query of each of M looks among the keys of each of N.

    Shape: `[M, L, D]`, `[N, K, D]`, `[N, K]` → `[N, M, L, K]`; sums to 1 over K.
    """
    cosines = torch.einsum("nkd,mld->nmlk", keys, queries)
    # Cosines are bounded, so that the exponential needs no shift.
    raised = (SHARPNESS * cosines).exp() * weights[:, None, None, :]
    return raised / raised.sum(dim=3, keepdim=True).clamp(min=1e-6)


def interaction(queries: Parts, keys: Parts) -> Tensor:
    """How well the queries of each of M fit what they see in each of N: a smooth maximum of cosines, between −1 and 1.

    Shape: → `[N, M]`.
    """
    seen = torch.einsum("nmlk,nkd->nmld", attention(queries.vectors, keys.vectors, keys.weights), keys.vectors)
    cosines = torch.einsum("nmld,mld->nml", F.normalize(seen, dim=3), queries.vectors)
    share = queries.weights / queries.weights.sum(dim=1, keepdim=True).clamp(min=1e-6)
    mean = ((EMPHASIS * cosines).exp() * share[None]).sum(dim=2)
    return mean.clamp(min=1e-6).log() / EMPHASIS


def local_similarity(regions: Parts, words: Parts) -> Tensor:
    """Mean of `interaction` both ways.

    Shape: → `[N, M]` for N images and M reports.
    """
    return (interaction(words, regions) + interaction(regions, words).T) / 2
