"""What an epoch of pre-training leaves behind: means over steps and processes, and the moving average that picks the best."""

from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from nnssl_plugin.plots.chance import CHANCE_SUFFIX
from nnssl_plugin.pretraining.skipped_steps import (
    SKIPPED,
    count_skipped,
    describe_skipped,
    stop_where_most_are_skipped,
)

MOMENTUM = 0.9
BEST_MEASURE = "moving average of the pretext loss without augmentation (lower is better)"
AVERAGE = "ema_val_losses"


class EpochLog:
    """Logs an epoch under nnU-Net's and the objectives' names.

    Args:
        logger: nnU-Net's, around a `PretextLogger`.
        say: prints a line.
    """

    def __init__(self, logger: Any, say: Callable[[str], Any]) -> None:
        self.logger = logger
        self.say = say

    def trained(self, outputs: Sequence[Mapping[str, Tensor]], epoch: int, last_good: str | None) -> None:
        """Log the means of the training steps.

        Raises:
            RuntimeError: most of them had a loss or gradient that is not finite.
        """
        skipped, by_objective = count_skipped(outputs)
        if skipped:
            self.say(f"skipped {describe_skipped(skipped, len(outputs), by_objective)}")
        stop_where_most_are_skipped(skipped, len(outputs), by_objective, epoch, last_good)
        means = epoch_means(outputs)
        self.logger.log("train_losses", means.pop("loss"), epoch)
        for name, value in means.items():
            if not name.startswith(SKIPPED):
                self.logger.log(f"train/{name}", value, epoch)

    def measured(self, outputs: Sequence[Mapping[str, Tensor]], epoch: int) -> None:
        """Log the means without augmentation, and the moving average of their loss."""
        means = epoch_means(outputs)
        loss = means.pop("loss")
        self.logger.log("val_losses", loss, epoch)
        for name, value in means.items():
            self.logger.log(f"val/{name}", value, epoch)
        earlier = self.logger.get_value(AVERAGE, step=None) if epoch > 0 else []
        self.logger.log(AVERAGE, moving_average(earlier[epoch - 1] if earlier else None, loss), epoch)

    def ended(self, epoch: int) -> float:
        """Say what the epoch gave; returns the moving average, by which the best checkpoint is chosen."""
        self.logger.log("epoch_end_timestamps", time(), epoch)
        log = self.logger.local_logger.my_fantastic_logging
        self.say(f"loss {log['train_losses'][-1]:.4f}, without augmentation {log['val_losses'][-1]:.4f}")
        for key in [key for key in log if key.startswith("val/") and not key.endswith(CHANCE_SUFFIX)]:
            chance = f" (chance {log[key + CHANCE_SUFFIX][-1]:.4f})" if key + CHANCE_SUFFIX in log else ""
            self.say(f"{key.removeprefix('val/')} {log[key][-1]:.4f}{chance}")
        self.say(f"Epoch time: {log['epoch_end_timestamps'][-1] - log['epoch_start_timestamps'][-1]:.1f} s")
        return float(log[AVERAGE][-1])


def epoch_means(outputs: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """Mean of every value over steps and processes, of what is finite; NaN where nothing is.

    One transfer from the device for all of them.
    """
    keys = list(outputs[0])
    values = torch.stack([torch.stack([step[key].float() for step in outputs]) for key in keys])
    finite = torch.isfinite(values)
    sums = torch.stack([torch.where(finite, values, 0).sum(dim=1), finite.float().sum(dim=1)])
    if dist.is_initialized():
        dist.all_reduce(sums)
    return dict(zip(keys, (sums[0] / sums[1]).tolist(), strict=True))


def moving_average(previous: float | None, value: float) -> float:
    """The exponential moving average after `value`; an epoch without a finite value changes nothing."""
    if previous is None or not np.isfinite(previous):
        return value
    return MOMENTUM * previous + (1 - MOMENTUM) * value if np.isfinite(value) else previous
