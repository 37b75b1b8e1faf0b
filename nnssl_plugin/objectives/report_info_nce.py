import math

import torch
from torch import Tensor, nn

from nnssl_plugin.objectives.pair_losses import PairLosses

LARGEST_LOG_SCALE = math.log(100)


class ReportInfoNCE(nn.Module):
    """InfoNCE of images and reports, both ways, with a learned temperature (CLIP, Radford et al., ICML 2021, arXiv 2103.00020).

        loss of image i = −log( e^{s_ii} / (e^{s_ii} + Σ_n e^{s_in}) ),  s = z·w / τ;  of report i the same over images

    Ours: the negatives n are those that are known to be another's: not of the same patient, not of the same text. A row
    without negatives does not count. Computed in float32.

    Args:
        temperature: τ at the start; it never falls below 0.01, as in the paper.
    """

    def __init__(self, temperature: float = 0.07) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(-torch.tensor(temperature).log())

    @property
    def scale(self) -> Tensor:
        """1 / τ."""
        with torch.no_grad():
            # A bound on the value alone: beyond it there would be no gradient that leads back.
            self.log_scale.clamp_(max=LARGEST_LOG_SCALE)
        return self.log_scale.exp()

    def forward(self, images: Tensor, texts: Tensor, same: Tensor) -> PairLosses:
        """Losses of 2N pairs, as `of_similarities`, of two `[N, D]` of unit vectors."""
        with torch.autocast(images.device.type, enabled=False):
            return self.of_similarities(images.float() @ texts.float().T, same)

    def of_similarities(self, similarity: Tensor, same: Tensor) -> PairLosses:
        """Losses of 2N pairs; `same` `[N, N]` (bool): whose texts are no negatives of one another.

        Shape: `[N, N]`, unscaled, images by texts; the rows of a pair are of the N images and, behind them, the N texts.
        """
        count = len(similarity)
        index = torch.arange(count, device=similarity.device)
        excluded = same.clone().fill_diagonal_(False)
        scaled = self.scale * similarity
        # Every row keeps its own diagonal entry, so that none is empty.
        ways = [
            nn.functional.cross_entropy(one.masked_fill(excluded, -torch.inf), index, reduction="none")
            for one in (scaled, scaled.T)
        ]
        counted = (~same).any(dim=1).repeat(2)
        first = torch.cat([index, index + count])
        return PairLosses(torch.cat(ways), first, (first + count) % (2 * count), counted)
