"""What one worker process brings: nnU-Net's loader and ours, and denormalisation by mode."""

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import numpy as np
import torch

from benchmarks.problem import Problem
from benchmarks.recipes import DEFAULT, make_trainer
from benchmarks.steps import patches
from benchmarks.table import Row
from benchmarks.timing import in_turns

NNUNET = "nnU-Net's loader"
# For each repetition: augmentation is drawn, and most of its parts are rare.
BATCHES = 10
MODES = ("moments", "local_moments", "quantile")


def measure_loaders(problem: Problem, wanted: Sequence[str]) -> list[Row]:
    """Batches in this process, without workers, so that their CPU time is a worker's."""
    trainers = {name: make_trainer(problem, name, residual=False) for name in ("", *wanted)}
    loaders: dict[str, Any] = {name: trainers[name].make_loader(augment=True) for name in wanted}
    training, _ = trainers[""].get_dataloaders()
    actions = {name: partial(next, loader) for name, loader in {NNUNET: training, **loaders}.items()}
    count = {NNUNET: (problem.batch, problem.batch * prod(problem.patch))}
    for name in wanted:
        kinds = trainers[name].patches.values()
        count[name] = (sum(k.patches for k in kinds), sum(k.patches * prod(k.patch_size) for k in kinds))
    times = in_turns(actions, BATCHES * problem.repetitions, "cpu", "loaders")
    rows, base = [], (1.0, 1.0)
    for name, (number, voxels) in count.items():
        seconds = times[name].mean_cpu()
        rates = (number / seconds, voxels / seconds)
        base = rates if name == NNUNET else base
        what = f"{rates[0]:.1f} patches/s, {rates[1] / 1e6:.2f} M voxels/s a worker"
        content = f" ({patches(trainers[name])})" if name in trainers else ""
        target = "patches/s ≥ 1.50" if name == DEFAULT else ""
        rows.append(Row("loader", name, what + content, rates[0] / base[0], rates[1] / base[1], target))
    return rows + _denormalization(problem, trainers[wanted[0]])


def _denormalization(problem: Problem, trainer: Any) -> list[Row]:
    """Of one patch of all modalities, by mode."""
    from nnssl_plugin.data.loader import intensity_statistics
    from nnssl_plugin.transforms.denormalization import DenormalizationSettings, DenormalizationTransform

    statistics = intensity_statistics(trainer.cohort)
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(problem.modalities, *problem.patch))).float()
    sample = {"image": image, "segmentation": torch.zeros(1, *problem.patch, dtype=torch.int16)}
    present = np.ones(problem.modalities, dtype=bool)

    def of(mode: Any) -> Any:
        transform = DenormalizationTransform(statistics, DenormalizationSettings(mode=mode))

        def action() -> None:
            transform.apply(dict(sample), **transform.get_parameters(**sample, present=present, patient=0))

        return action

    times = in_turns({mode: of(mode) for mode in MODES}, 3 * problem.repetitions, "cpu", "denormalisation")
    return [Row("denormalisation", mode, f"{1e3 * times[mode].seconds('cpu'):.1f} ms a patch") for mode in MODES]
