import torch
from torch import Tensor, nn

from nnssl_plugin.objectives.pair_losses import PairLosses


class LocalInfoNCE(nn.Module):
    """InfoNCE over places: row i of one view against row i of the other (van den Oord et al., 2018, arXiv 1807.03748).

    Negatives of a place are the other places of its patch and all places of other patients; those of another patch of
    the same patient are neither positive nor negative. Both directions count alike. Computed in float32.

    Args:
        temperature: τ of −log( e^{s_ii/τ} / (e^{s_ii/τ} + Σ_negatives e^{s_ij/τ}) ), s the cosine similarity.
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, similarity: Tensor, valid: Tensor) -> PairLosses:
        """Losses of the N places; `[N, N]` from `similarity`, `valid` `[N]` (bool). Their rows: one view, then the other."""
        index = torch.arange(len(similarity), device=similarity.device)
        # Every row keeps its own diagonal entry, so that none is empty.
        directions = [nn.functional.cross_entropy(s, index, reduction="none") for s in (similarity, similarity.T)]
        return PairLosses(torch.stack(directions).mean(dim=0), index, index + len(similarity), valid)

    def similarity(self, first: Tensor, second: Tensor, patch: Tensor, patient: Tensor, valid: Tensor) -> Tensor:
        """`[N, N]` similarities over τ, −inf where a place is neither the positive nor a negative.

        Shape: `[N, D]` unit vectors of both views; `[N]` patch and patient of each place; `[N]`, bool.
        """
        excluded = (patch[:, None] != patch[None, :]) & (patient[:, None] == patient[None, :])
        excluded |= ~(valid[:, None] & valid[None, :])
        excluded.fill_diagonal_(False)
        with torch.autocast(first.device.type, enabled=False):
            return (first.float() @ second.float().T / self.temperature).masked_fill(excluded, -torch.inf)
