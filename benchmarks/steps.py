"""A step of every recipe compared with nnU-Net's supervised one; with it memory on a GPU, and what a checkpoint takes."""

import gc
import os
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from benchmarks.problem import Problem
from benchmarks.recipes import DEFAULT, looks_at_no_decoder, make_trainer, recipes
from benchmarks.table import Row
from benchmarks.timing import in_turns, wait

SUPERVISED = "nnU-Net's supervised step"
# Of a decoder-free step, per encoded voxel, plain and residual encoder.
DECODER_FREE = {False: 0.45, True: 0.8}


def measure_steps(problem: Problem, residual: bool, wanted: Sequence[str]) -> list[Row]:
    """Rows of one kind of network."""
    kind = "residual encoder" if residual else "plain"
    trainers = {name: make_trainer(problem, name, residual) for name in ("", *wanted)}
    actions: dict[str, Callable[[], object]] = {}
    voxels: dict[str, float] = {}
    for name, trainer in trainers.items():
        actions[name or SUPERVISED], voxels[name or SUPERVISED] = step_of(trainer)
    times = in_turns(actions, problem.repetitions, problem.device, f"steps, {kind}")
    base = times[SUPERVISED].seconds(problem.device)
    rows = [Row(f"step, {kind}", SUPERVISED, f"{base:.3f} s ({_wall(times[SUPERVISED])})")]
    for name in wanted:
        seconds = times[name].seconds(problem.device)
        ratio = seconds / base
        per_voxel = ratio * voxels[SUPERVISED] / voxels[name]
        target = "≤ 1.00" if name == DEFAULT else ""
        if looks_at_no_decoder(name):
            target = f"per voxel ≤ {DECODER_FREE[residual]:.2f}"
        value = f"{seconds:.3f} s ({_wall(times[name])}); {patches(trainers[name])}"
        rows.append(Row(f"step, {kind}", name, value, ratio, per_voxel, target))
    rows += _memory_on_gpu(problem, kind, actions)
    rows += [_checkpoint(problem, kind, name, trainers[name]) for name in ("", DEFAULT) if name in trainers]
    del trainers, actions
    gc.collect()
    return rows


def step_of(trainer: Any) -> tuple[Callable[[], object], float]:
    """A step on a batch that was loaded before, and the voxels that it encodes."""
    if hasattr(trainer, "step"):
        batch = trainer.make_loader(augment=True).generate_train_batch()
        trainer.step.module.train()
        return lambda: trainer.step.train(batch), encoded_voxels(trainer)
    training, _ = trainer.get_dataloaders()
    batch = next(training)
    trainer.network.train()
    return lambda: trainer.train_step(batch), batch["data"].shape[0] * prod(batch["data"].shape[2:])


def encoded_voxels(trainer: Any) -> float:
    """Of the views of a step, a teacher's included."""
    sizes = {kind: own.patches * prod(own.patch_size) for kind, own in trainer.patches.items()}
    return sum(sizes[need.patches] * (need.views + need.teacher_views) for need in trainer.run.needs.values())


def patches(trainer: Any) -> str:
    """Of a step, in words."""
    return ", ".join(f"{k.patches} of {'×'.join(map(str, k.patch_size))}" for k in trainer.patches.values())


def _wall(times: Any) -> str:
    return f"{sorted(times.wall)[len(times.wall) // 2]:.3f} s on the clock"


def _memory_on_gpu(problem: Problem, kind: str, actions: dict[str, Callable[[], object]]) -> list[Row]:
    """Of a step, beside the weights of all trainers, which are there already."""
    if problem.device != "cuda":
        return []
    rows, base = [], 0.0
    for name, action in actions.items():
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        wait("cuda")
        gigabytes = (torch.cuda.max_memory_allocated() - before) / 1e9
        reserved = torch.cuda.max_memory_reserved() / 1e9
        base = base or gigabytes
        value = f"{gigabytes:.2f} GB allocated by the step, {reserved:.2f} GB reserved"
        rows.append(Row(f"memory, {kind}", name, value, gigabytes / base, target="≤ 1.00"))
    return rows


def _checkpoint(problem: Problem, kind: str, name: str, trainer: Any) -> Row:
    file = Path(problem.folder / "checkpoint.pth")
    begin = perf_counter()
    trainer.save_checkpoint(str(file))
    seconds, size = perf_counter() - begin, os.path.getsize(file) / 1e6
    file.unlink()
    return Row(f"checkpoint, {kind}", name or "nnU-Net's", f"{seconds:.2f} s on the clock, {size:.0f} MB")


def all_recipes() -> list[str]:
    """Names of what can be measured."""
    return list(recipes())
