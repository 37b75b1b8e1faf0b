from typing import Literal

import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.draw import draw_one
from nnssl_plugin.objectives.objective import Views

Pairs = Literal["cross", "same"]


def draw_modality_pair(batch: PretrainingBatch, pairs: Pairs, generator: torch.Generator) -> Views:
    """Two one-channel views of each patch, each expanded over the C input channels: DAD(x_s → t), and x_t.

    The pair of cross-modal contrast (J. Biomed. Eng. 2023, 40(3):482-491). The expansion keeps the network that of the
    plans.

    Args:
        batch: of B patches, augmented and denormalised.
        pairs: `cross`: s ≠ t; `same`: both views show one modality, the first one denormalised where there is another
            modality to take statistics from, and augmented apart in any case.
        generator: draws s.

    Returns:
        Views `source` and `target`, `[B, C, *P]`; targets `valid` `[B]` (the case has such a pair), `source` and `target`
        `[B]`, the modalities shown.
    """
    size, channels = batch.present.shape
    if batch.denormalized_target is None:
        raise ValueError("modality pairs need denormalised images")
    valid = batch.present.sum(dim=1) > (1 if pairs == "cross" else 0)
    weights = torch.where(valid[:, None], batch.present, torch.ones_like(batch.present)).float()
    source = draw_one(weights, generator)
    rows = torch.arange(size, device=source.device)
    target: Tensor = batch.denormalized_target[rows, source] if pairs == "cross" else source

    def expanded(images: Tensor, channel: Tensor) -> Tensor:
        return images[rows, channel][:, None].expand(-1, channels, *batch.patch_size)

    return Views(
        {
            "source": expanded(batch.images["denormalized"], source),
            "target": expanded(batch.images["augmented"], target),
        },
        {"valid": valid, "source": source, "target": target},
    )
