import torch
from torch import Tensor, nn


class PatientInfoNCE(nn.Module):
    """InfoNCE over patient identity.

    Supervised contrastive learning (Khosla et al., NeurIPS 2020, arXiv 2004.11362, eq. 2) with the patient as the
    class, except that the denominator of a positive holds that positive and the negatives only, so that two views of a
    patient are never pushed apart (ours):

        loss = mean over pairs (i, p) of one patient of  −log( e^{s_ip} / (e^{s_ip} + Σ_n e^{s_in}) ),  s = z·z' / τ

    An embedding without a negative contributes nothing. Computed in float32.

    Args:
        temperature: τ.
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, embeddings: Tensor, patients: Tensor) -> Tensor:
        """Loss of `[N, D]` unit vectors with patients `[N]`; 0 where there is no positive pair."""
        with torch.autocast(embeddings.device.type, enabled=False):
            z = embeddings.float()
            similarity = z @ z.T / self.temperature
            same = patients[:, None] == patients[None, :]
            positive = same & ~torch.eye(len(z), dtype=torch.bool, device=z.device)
            # log Σ_n e^{s_in}; a row without negatives is handled below, its -inf would poison the gradient.
            has_negative = ~same.all(dim=1)
            negatives = similarity.masked_fill(same & has_negative[:, None], -torch.inf).logsumexp(dim=1)
            pairs = nn.functional.softplus(negatives[:, None] - similarity)
            counted = positive & has_negative[:, None]
            return (pairs * counted).sum() / counted.sum().clamp(min=1)
