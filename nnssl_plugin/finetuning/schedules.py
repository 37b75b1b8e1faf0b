"""Fine-tuning schedules as pure functions of the epoch, and the scheduler that follows them.

Both are nnU-Net's and nnssl's fine-tuning schedules (methods.md 6, [code]); what ends a decoder's way down is ours: the
same polynomial as nnU-Net's, over the epochs of that stage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from nnssl_plugin.errors import InputError

EXPONENT = 0.9


@dataclass(frozen=True)
class Rates:
    """What part of their peak learning rates encoder and decoder have in an epoch, 0 (frozen) to 1, and the stage."""

    encoder: float
    decoder: float
    stage: str


def polynomial(done: float) -> float:
    """nnU-Net's decay, `done` from 0 to 1."""
    return float((1 - done) ** EXPONENT)


def warmup(epoch: int, epochs: int, up: int) -> Rates:
    """Linear over the first `up` epochs, then polynomial decay to the end.

    Args:
        epoch: counted from 0.
        epochs: of the run.
        up: of the warm-up.
    """
    if epoch < up:
        rate, stage = (epoch + 1) / up, "warm-up"
    else:
        rate, stage = polynomial((epoch - up) / (epochs - up)), "whole network"
    return Rates(rate, rate, stage)


def sawtooth(epoch: int, epochs: int, decoder_up: int, decoder_down: int, up: int) -> Rates:
    """The decoder alone up and down, the encoder frozen; then `warmup` for the whole network.

    Args:
        epoch: counted from 0.
        epochs: of the run.
        decoder_up: epochs of the decoder's linear warm-up.
        decoder_down: epochs of its decay.
        up: epochs of the whole network's warm-up.
    """
    if epoch < decoder_up:
        return Rates(0, (epoch + 1) / decoder_up, "decoder alone, up")
    if epoch < decoder_up + decoder_down:
        return Rates(0, polynomial((epoch - decoder_up) / decoder_down), "decoder alone, down")
    before = decoder_up + decoder_down
    return warmup(epoch - before, epochs - before, up)


def sawtooth_lengths(epochs: int, up: float, down: float, whole: float) -> tuple[int, int, int]:
    """Epochs of the decoder's way up, its way down and the whole network's warm-up, at least one each.

    Args:
        epochs: of the run.
        up: share of them.
        down: share of them.
        whole: share of them.

    Raises:
        InputError: nothing would be left for training the whole network at its peak rate.
    """
    lengths = max(1, round(up * epochs)), max(1, round(down * epochs)), max(1, round(whole * epochs))
    if sum(lengths) >= epochs:
        raise InputError(
            f"finetuning.epochs={epochs} leaves nothing after the decoder's way up ({lengths[0]}) and down ({lengths[1]}) "
            f"and the warm-up ({lengths[2]}): more epochs, or smaller finetuning.decoder_up_fraction, "
            "decoder_down_fraction and warmup_fraction"
        )
    return lengths


class EpochSchedule(LRScheduler):
    """Sets the learning rates of an epoch that a function of the epoch alone gives: resuming cannot shift it.

    Args:
        optimizer: with a `name` in each parameter group.
        rates_at: epoch, counted from 0 → learning rate of each group by name.
    """

    def __init__(self, optimizer: Optimizer, rates_at: Callable[[int], Mapping[str, float]]) -> None:
        self.rates_at = rates_at
        super().__init__(optimizer)

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rates of `epoch`, by default the next one."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        rates = self.rates_at(self.last_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rates[group["name"]]
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
