"""Whether learned weights find pairs that do not belong together: python planted_pairs.py DATASET PLANS STEPS [SEED …].

A share of each step's pairs gets its second view from another clip, by chance anew each time. Prints, for each seed and fifth of the run, the mean
AUC of 1 − weight for "planted", and the retrieval of the pairs that belong together. PLANS: of nnssl_plugin plan --preset meta-uscl, or of another
recipe with one objective whose weighting is meta. Needs nnU-Net's variables, and nnUNet_extTrainer for the plugin's trainers.
"""

import sys
from typing import Any

import numpy as np
import torch
from nnunetv2.run.run_training import get_trainer_from_args
from sklearn.metrics import roc_auc_score
from tqdm import trange

from nnssl_plugin.nnunet.environment import dataset_name
from nnssl_plugin.objectives.pair_losses import first_with_second
from nnssl_plugin.training.seeding import seed_everything

SHARE = 0.3
PARTS = 5


def plant(loaded: dict[str, Any], generator: np.random.Generator) -> np.ndarray:
    """Exchange the second views of some rows with one another; which rows."""
    pairs = loaded["patients/frame_pair"]
    rows = generator.permutation(len(pairs))[: max(2, round(SHARE * len(pairs)))]
    pairs[rows, 1] = pairs[np.roll(rows, 1), 1].clone()
    return np.isin(np.arange(len(pairs)), rows)


def run(dataset: str, plans: str, steps: int, seed: int) -> tuple[list[float], list[float]]:
    """AUC and mean weight of the pairs that belong together over that of the planted ones, in each part of a run."""
    trainer = get_trainer_from_args(dataset, "2d", "all", "SSLPretrainTrainer", plans, device=torch.device("cpu"))
    trainer.disable_checkpointing = True
    trainer.initialize()
    seed_everything(seed)
    trainer.step.generator.manual_seed(seed)
    batches = trainer.make_loader(augment=True)
    others = trainer.make_loader(augment=True, held_out=True)
    (name,) = trainer.run.weighted
    reducer = trainer.step.network.objectives[name].reducer
    generator, found, ratios = np.random.default_rng(seed), [], []
    for step in trange(steps, desc=f"seed {seed}", mininterval=5):
        loaded = batches.generate_train_batch()
        planted = plant(loaded, generator)
        with torch.no_grad():
            views = trainer.step.draw_views(trainer.step.batches(loaded))
            features = trainer.step.network.encode(views)[name]
            maps = [features[view].encoder[-1].flatten(2).mean(dim=2) for view in views[name].images]
            weights = reducer.weigh(torch.cat(maps), first_with_second(len(planted), maps[0].device)).numpy()
        found.append(roc_auc_score(planted, -weights))
        ratios.append(weights[~planted].mean() / max(weights[planted].mean(), 1e-9))
        due = (step + 1) % trainer.settings.meta.every == 0
        trainer.step.train(loaded, others.generate_train_batch() if due else None)
    return tuple([float(part.mean()) for part in np.array_split(values, PARTS)] for values in (found, ratios))


if __name__ == "__main__":
    torch.set_num_threads(1)
    full = dataset_name(sys.argv[1])
    results = {int(seed): run(full, sys.argv[2], int(sys.argv[3]), int(seed)) for seed in sys.argv[4:] or ["0"]}
    for seed, (aucs, ratios) in results.items():
        print(
            f"seed {seed}: AUC {' '.join(f'{a:.3f}' for a in aucs)}; weight kept / planted {' '.join(f'{r:.2f}' for r in ratios)}"
        )
    last = [aucs[-1] for aucs, _ in results.values()]
    print(f"last fifth: {np.mean(last):.3f} ± {np.std(last, ddof=1) if len(last) > 1 else 0:.3f}")
