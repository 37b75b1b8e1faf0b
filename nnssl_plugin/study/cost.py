"""What a study costs: steps, and the time they take, measured on the runs that are done or on a few steps."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnssl_plugin.nnunet.plans_file import configuration_of
from nnssl_plugin.settings.settings import settings_from_plans
from nnssl_plugin.study.declaration import CLASSIFIER
from nnssl_plugin.study.record import Record
from nnssl_plugin.study.run import Run

NNUNET_EPOCHS, NNUNET_ITERATIONS = 1000, 250
# As in nnUNetTrainer_5epochs.
EPOCHS = re.compile(r"_(\d+)epochs?")
TIMED_STEPS = 3


def steps_of(run: Run, plans: Mapping[str, Any]) -> int:
    """Optimisation steps of a run: by the settings of its plans, or nnU-Net's own number for a stock trainer."""
    settings = settings_from_plans(plans)
    finetuned: Any = settings.classification if run.trainer == CLASSIFIER else settings.finetuning
    section: Any = settings.pretraining if run.is_pretraining else finetuned
    if run.trainer.startswith("SSL"):
        return int(section.epochs * section.iterations_per_epoch)
    named = EPOCHS.search(run.trainer)
    return NNUNET_ITERATIONS * (int(named[1]) if named else NNUNET_EPOCHS)


def seconds_per_step(plans: dict[str, Any], configuration: str, channels: int, outputs: int, device: str) -> float:
    """Time of a supervised step of the plans' network on random patches, without loader and augmentation."""
    described = configuration_of(plans, configuration)
    network = get_network_from_plans(
        described["architecture"]["network_class_name"],
        described["architecture"]["arch_kwargs"],
        described["architecture"]["_kw_requires_import"],
        channels,
        outputs,
        deep_supervision=True,
    ).to(device)
    batch = torch.randn(described["batch_size"], channels, *described["patch_size"], device=device)
    started = 0.0
    for step in range(TIMED_STEPS + 1):
        if step == 1:
            started = monotonic()
        sum(output.square().mean() for output in network(batch)).backward()
        if device == "cuda":
            torch.cuda.synchronize()
    return (monotonic() - started) / TIMED_STEPS


def remaining_seconds(
    runs: Iterable[Run],
    steps: Mapping[str, int],
    finished: Mapping[str, Record],
    slots: int,
    guess: Callable[[Run], float | None],
) -> float | None:
    """Time until the runs that are not finished will be, `slots` at a time.

    A run takes, for each step, as long as finished runs of its kind (pre-training or not) took on average; before there
    is one, what `guess` says of it.

    Returns:
        Seconds; None where nothing is known of some run.
    """
    runs = list(runs)
    rates = {
        kind: _rate([run for run in runs if run.is_pretraining is kind], steps, finished) for kind in (True, False)
    }
    total = 0.0
    for run in runs:
        if run.name in finished:
            continue
        rate = rates[run.is_pretraining]
        rate = guess(run) if rate is None else rate
        if rate is None:
            return None
        total += rate * steps[run.name]
    return total / slots


def _rate(runs: Sequence[Run], steps: Mapping[str, int], finished: Mapping[str, Record]) -> float | None:
    done = [run.name for run in runs if run.name in finished]
    return sum(finished[name].seconds for name in done) / sum(steps[name] for name in done) if done else None
