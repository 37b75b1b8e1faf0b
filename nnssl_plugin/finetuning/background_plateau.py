"""How long a run predicts nothing but background: where fresh segmentation layers first get stuck."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import distributed as dist

# Predicted foreground below this share of the reference's is background only: single voxels are no segmentation.
BACKGROUND_ONLY = 0.01
LOG_KEY = "predicted_foreground"


def predicted_foreground(outputs: Sequence[dict[str, Any]], is_ddp: bool) -> float:
    """Foreground voxels that an epoch's validation patches were given, as a share of the reference's.

    Args:
        outputs: of nnU-Net's `validation_step`, with `tp_hard`, `fp_hard` and `fn_hard` per class or region.
        is_ddp: whether to count over all processes.

    Returns:
        0 for background only, 1 for as much foreground as there is; NaN where the patches have none.
    """
    counts = np.sum(
        [[step["tp_hard"] + step["fp_hard"], step["tp_hard"] + step["fn_hard"]] for step in outputs], axis=0
    )
    predicted, reference = counts.sum(axis=1)
    if is_ddp:
        everywhere: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(everywhere, (predicted, reference))
        predicted, reference = np.sum(everywhere, axis=0)
    return float(predicted / reference) if reference > 0 else float("nan")


def plateau(shares: Sequence[float]) -> list[int]:
    """Epochs, counted from 0, that ended with background only."""
    return [epoch for epoch, value in enumerate(shares) if value < BACKGROUND_ONLY]
