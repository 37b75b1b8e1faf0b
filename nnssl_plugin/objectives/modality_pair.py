from typing import Literal

import torch
from torch import Tensor

from nnssl_plugin.objectives.objective import PretrainingBatch, Views

Pairs = Literal["cross", "same"]


def draw_modality_pair(batch: PretrainingBatch, pairs: Pairs, generator: torch.Generator) -> Views:
    """Two one-channel views of each patch, each expanded over the C input channels: DAD(x_s → t), then x_t.

    The pair of cross-modal contrast (J. Biomed. Eng. 2023, 40(3):482-491); the expansion, which keeps the network that
    of the plans, is ours.

    Args:
        batch: of B patches.
        pairs: `cross`: s ≠ t; `same`: both views show one modality, the first one denormalised where there is another
            modality to take statistics from, and augmented apart in any case.
        generator: draws s.

    Returns:
        `[2B, C, *P]`, all sources first; targets `valid` `[B]` (the case has such a pair), `source` and `target` `[B]`.
    """
    size, channels = batch.present.shape
    valid = batch.present.sum(dim=1) > (1 if pairs == "cross" else 0)
    weights = torch.where(valid[:, None], batch.present, torch.ones_like(batch.present)).float()
    source = torch.multinomial(weights, 1, generator=generator)[:, 0]
    rows = torch.arange(size, device=source.device)
    target: Tensor = batch.denormalized_target[rows, source] if pairs == "cross" else source
    images = torch.cat([batch.denormalized[rows, source], batch.data[rows, target]])
    expanded = images[:, None].expand(-1, channels, *batch.data.shape[2:])
    return Views(expanded, {"valid": valid, "source": source, "target": target})
