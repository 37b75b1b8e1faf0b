import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def start_seed(seed: int, rank: int, epoch: int) -> int:
    """Seed of process `rank` for a run that starts or resumes at `epoch`: different for every process and start."""
    return seed + 7919 * rank + 1009 * epoch
