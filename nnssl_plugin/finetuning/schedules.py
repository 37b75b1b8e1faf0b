"""Fine-tuning schedules as pure functions of the step, and what sets the rates they give.

Both are nnU-Net's and nnssl's fine-tuning schedules (methods.md 6, [code]), by step instead of by epoch, so that runs of
few epochs warm up too; what ends a decoder's way down is ours: the same polynomial as nnU-Net's, over that stage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch.optim import Optimizer

from nnssl_plugin.errors import InputError

EXPONENT = 0.9


@dataclass(frozen=True)
class Rates:
    """What part of their peak learning rates encoder and decoder have in a step, 0 (frozen) to 1, and the stage."""

    encoder: float
    decoder: float
    stage: str


def polynomial(done: float) -> float:
    """nnU-Net's decay, `done` from 0 to 1."""
    return float((1 - done) ** EXPONENT)


def warmup(step: int, steps: int, up: int) -> Rates:
    """Linear over the first `up` steps, then polynomial decay to the end.

    Args:
        step: counted from 0.
        steps: of the run.
        up: of the warm-up.
    """
    if step < up:
        rate, stage = (step + 1) / up, "warm-up"
    else:
        rate, stage = polynomial((step - up) / (steps - up)), "whole network"
    return Rates(rate, rate, stage)


def warmup_length(steps: int, share: float) -> int:
    """Steps of the warm-up: a share of the run, which always has a step left."""
    return min(round(share * steps), steps - 1)


def sawtooth(step: int, steps: int, decoder_up: int, decoder_down: int, up: int) -> Rates:
    """The decoder alone up and down, the encoder frozen; then `warmup` for the whole network.

    Args:
        step: counted from 0.
        steps: of the run.
        decoder_up: steps of the decoder's linear warm-up.
        decoder_down: steps of its decay.
        up: steps of the whole network's warm-up.
    """
    if step < decoder_up:
        return Rates(0, (step + 1) / decoder_up, "decoder alone, up")
    if step < decoder_up + decoder_down:
        return Rates(0, polynomial((step - decoder_up) / decoder_down), "decoder alone, down")
    before = decoder_up + decoder_down
    return warmup(step - before, steps - before, up)


def sawtooth_lengths(steps: int, up: float, down: float, whole: float) -> tuple[int, int, int]:
    """Steps of the decoder's way up, its way down and the whole network's warm-up, at least one each.

    Args:
        steps: of the run.
        up: share of them.
        down: share of them.
        whole: share of them.

    Raises:
        InputError: nothing would be left for training the whole network at its peak rate.
    """
    lengths = max(1, round(up * steps)), max(1, round(down * steps)), max(1, round(whole * steps))
    if sum(lengths) >= steps:
        raise InputError(
            f"finetuning.epochs x finetuning.iterations_per_epoch = {steps} steps leave nothing after the decoder's way up "
            f"({lengths[0]}) and down ({lengths[1]}) and the warm-up ({lengths[2]}): more steps, or smaller "
            "finetuning.decoder_up_fraction, decoder_down_fraction and warmup_fraction"
        )
    return lengths


class StepSchedule:
    """Sets the learning rates that a function of the step alone gives: resuming cannot shift it.

    Args:
        optimizer: with a `name` in each parameter group.
        rates_at: step, counted from 0 → learning rate of each group by name.
        steps_per_epoch: for `step`.
    """

    def __init__(
        self, optimizer: Optimizer, rates_at: Callable[[int], Mapping[str, float]], steps_per_epoch: int
    ) -> None:
        self.optimizer = optimizer
        self.rates_at = rates_at
        self.steps_per_epoch = steps_per_epoch
        self.set_rates(0)

    def step(self, epoch: int) -> None:
        """Set the learning rates of an epoch's first step; nnU-Net calls it so."""
        self.set_rates(epoch * self.steps_per_epoch)

    def set_rates(self, step: int) -> None:
        """Set the learning rates of a step."""
        rates = self.rates_at(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rates[group["name"]]
