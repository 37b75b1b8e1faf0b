"""What learned weights of pairs cost, and whether their direction is the exact one: python meta_cost.py DATASET PLANS [CONFIGURATION].

PLANS: of nnssl_plugin plan --preset meta-uscl, or of another recipe with one objective whose weighting is meta. CPU time on one thread, medians.
Needs nnU-Net's variables, and nnUNet_extTrainer for the plugin's trainers.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from nnunetv2.run.run_training import get_trainer_from_args

from nnssl_plugin.nnunet.environment import dataset_name
from nnssl_plugin.pretraining.exact_meta_gradient import exact_meta_gradient
from nnssl_plugin.training.seeding import seed_everything

REPETITIONS = 7
STEPS = 10
# Of the step that the published update goes through.
RATES = (1e-5, 1e-4, 1e-3, 1e-2)


def median(action: Callable[[], Any]) -> float:
    """Seconds of CPU time."""
    action()
    times = []
    for _ in range(REPETITIONS):
        begin = time.process_time()
        action()
        times.append(time.process_time() - begin)
    return float(np.median(times))


def main(dataset: str, plans: str, configuration: str) -> None:
    """Print the costs, and the cosine of both directions over some steps of a run."""
    trainer = get_trainer_from_args(
        dataset, configuration, "all", "SSLPretrainTrainer", plans, device=torch.device("cpu")
    )
    trainer.initialize()
    seed_everything(0)
    step, (name,) = trainer.step, trainer.run.weighted
    loaders = (trainer.make_loader(augment=True), trainer.make_loader(augment=True, held_out=True))

    def drawn() -> list[Any]:
        both = [step.batches(loader.generate_train_batch()) for loader in loaders]
        return [both[0], step.draw_views(both[0]), both[1], step.draw_views(both[1], [name])]

    loaded, data = loaders[0].generate_train_batch(), drawn()
    plain = median(lambda: step.train(loaded))
    update = median(lambda: step.meta.update(*data))
    exact = median(lambda: exact_meta_gradient(step.network, name, *data, rate=1e-3))
    every = trainer.settings.meta.every
    print(
        f"step without learned weights {plain:.3f} s; update {update:.3f} s, every {every} steps: {1 + update / every / plain:.2f} times the step"
    )
    print(f"exact update {exact:.3f} s: in every step, as published, {1 + exact / plain:.2f} times the step")
    for rate in RATES:
        cosines = [_cosine(trainer, loaders[0].generate_train_batch(), drawn(), rate) for _ in range(STEPS)]
        print(f"cosine with the exact direction at η = {rate:g}: {np.mean(cosines):.4f}, least {min(cosines):.4f}")


def _cosine(trainer: Any, loaded: Any, data: list[Any], rate: float) -> float:
    """After one more step."""
    step, (name,) = trainer.step, trainer.run.weighted
    step.train(loaded)
    exact = exact_meta_gradient(step.network, name, *data, rate=rate)
    step.meta.update(*data)
    named = dict(step.network.named_parameters())
    parts = (list(exact.values()), [named[key].grad for key in exact])
    one, other = (torch.cat([part.flatten() for part in some]) for some in parts)
    return float(torch.dot(one / one.norm(), other / other.norm()))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(dataset_name(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "2d")
