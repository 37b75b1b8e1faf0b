import torch
from torch import Tensor, nn

from nnssl_plugin.objectives.pair_losses import PairLosses


class LocalInfoNCE(nn.Module):
    """InfoNCE over places: a place of one view against places of the other (van den Oord et al., 2018, arXiv 1807.03748).

    Negatives of a place are the other places of its patch and, of other patients, the first places of each patch, as many
    as `negatives` allows; those of another patch of the same patient are neither positive nor negative. Both directions
    count alike. Computed in float32.

    Args:
        temperature: τ of −log( e^{s_ii/τ} / (e^{s_ii/τ} + Σ_negatives e^{s_ij/τ}) ), s the cosine similarity.
        negatives: places of all patches together that each place is compared with beside its own patch's, at most, but one
            of each patch at least. With all of them the similarities grow with the square of the patches.
    """

    def __init__(self, temperature: float = 0.2, negatives: int = 1024) -> None:
        super().__init__()
        self.temperature = temperature
        self.negatives = negatives

    def forward(self, similarity: Tensor, valid: Tensor) -> PairLosses:
        """Losses of the B·L places; both as of `similarity`. Their rows: one view, then the other."""
        places = similarity.shape[2]
        # Every row keeps its own positive, so that none is empty.
        index = torch.arange(places, device=similarity.device).repeat(2 * len(valid))
        losses = nn.functional.cross_entropy(similarity.flatten(0, 2), index, reduction="none")
        rows = torch.arange(valid.numel(), device=similarity.device)
        return PairLosses(losses.unflatten(0, (2, -1)).mean(dim=0), rows, rows + valid.numel(), valid.flatten())

    def similarity(self, first: Tensor, second: Tensor, patient: Tensor, valid: Tensor) -> Tensor:
        """`[2, B, L, L + P]` similarities over τ in both directions; −inf where a place is neither the positive nor a negative.

        The last axis has the L places of the own patch, in their order, and P of all patches, in random order if the L are.

        Shape: `[B, L, D]` unit vectors of both views; `[B]` patient of each patch; `[B, L]`, bool.
        """
        with torch.autocast(first.device.type, enabled=False):
            # Scaled before they are multiplied, as there are far more similarities than vectors.
            first, second = first.float() / self.temperature, second.float()
            count = places_of_each(len(first), first.shape[1], self.negatives)
            own = first @ second.mT
            forwards = first @ second[:, :count].flatten(0, 1).T
            backwards = second @ first[:, :count].flatten(0, 1).T
        positive = torch.eye(first.shape[1], dtype=torch.bool, device=first.device)
        excluded = ~(valid[:, None] | positive)
        others = (patient[:, None] != patient)[:, :, None] & valid[None, :, :count]
        excluded_others = ~others.flatten(1)[:, None]
        directions = [
            torch.cat([one.masked_fill(excluded, -torch.inf), other.masked_fill(excluded_others, -torch.inf)], dim=2)
            for one, other in ((own, forwards), (own.mT, backwards))
        ]
        return torch.stack(directions)


def places_of_each(patches: int, places: int, negatives: int) -> int:
    """How many places of every patch are negatives of the places of other patients."""
    return min(places, max(1, negatives // patches))
