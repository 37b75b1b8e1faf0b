import torch
from torch import Tensor, nn

from nnssl_plugin.objectives.pair_losses import PairLosses


class PatientInfoNCE(nn.Module):
    """InfoNCE over patient identity.

    Supervised contrastive learning (Khosla et al., NeurIPS 2020, arXiv 2004.11362, eq. 2) with the patient as the
    class, except that the denominator of a positive holds that positive and the negatives only, so that two views of a
    patient are never pushed apart (as in pytorch-metric-learning's `NTXentLoss`):

        loss of a pair (i, p) of one patient = −log( e^{s_ip} / (e^{s_ip} + Σ_n e^{s_in}) ),  s = z·z' / τ

    An embedding without a negative is in no pair that counts. Computed in float32.

    Args:
        temperature: τ.
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, patients: Tensor, valid: Tensor) -> PairLosses:
        """Losses of all N² ordered pairs of `[N, D]` unit vectors; `patients` `[N]`, `valid` `[N]` (bool)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            z = embeddings.float()
            similarity = z @ z.T / self.temperature
            index = torch.arange(len(z), device=z.device)
            both = valid[:, None] & valid[None, :]
            same = patients[:, None] == patients[None, :]
            positive = same & both & (index[:, None] != index[None, :])
            negative = ~same & both
            has_negative = negative.any(dim=1, keepdim=True)
            # log Σ_n e^{s_in}; a row without negatives does not count, and its -inf would spread through the gradient.
            negatives = similarity.masked_fill(~negative & has_negative, -torch.inf).logsumexp(dim=1)
            values = nn.functional.softplus(negatives[:, None] - similarity)
            first, second = index.repeat_interleave(len(z)), index.repeat(len(z))
            return PairLosses(values.flatten(), first, second, (positive & has_negative).flatten())
