"""The training of a fine-tuning run, split into its parts: a few steps of `SSLScratchTrainer`, without its final predictions."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.problem import CONFIGURATION, DATASET, Problem, plans_of, write_plans
from benchmarks.table import Row
from benchmarks.timing import Times, once

EPOCHS, STEPS = 2, 3
PARTS = {
    "initialize": "network and optimiser",
    "get_dataloaders": "loaders",
    "train_step": "a training step",
    "validation_step": "a validation batch",
    "on_epoch_end": "end of an epoch, with nnU-Net's progress.png",
    "save_checkpoint": "a checkpoint",
}


def measure_finetuning(problem: Problem) -> list[Row]:
    """Median of each part, and how often it comes in the run; what a part calls of another is in both."""
    from nnunetv2.run.run_training import get_trainer_from_args

    section = {"epochs": EPOCHS, "iterations_per_epoch": STEPS, "validation_iterations": 1}
    write_plans(problem, plans_of(problem, "finetuning", False, {"finetuning": section}))
    device = torch.device(problem.device)
    trainer = get_trainer_from_args(DATASET, CONFIGURATION, 0, "SSLScratchTrainer", "finetuning", device=device)
    times = {part: Times() for part in PARTS}
    for part in PARTS:
        setattr(trainer, part, partial(_timed, getattr(trainer, part), problem.device, times[part]))
    trainer.run_training()
    return [
        Row("fine-tuning", name, f"{times[part].seconds(problem.device):.3f} s, {len(times[part].cpu)} times")
        for part, name in PARTS.items()
    ]


def _timed(method: Callable[..., Any], device: str, times: Times, *args: Any, **kwargs: Any) -> Any:
    results: list[Any] = []
    once(lambda: results.append(method(*args, **kwargs)), device, times)
    return results[0]
