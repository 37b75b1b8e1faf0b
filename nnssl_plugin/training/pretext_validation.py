import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import trange

from nnssl_plugin.objectives.objective import PretrainingBatch
from nnssl_plugin.objectives.representation import effective_rank
from nnssl_plugin.training.seeding import seed_everything

if TYPE_CHECKING:
    from nnssl_plugin.training.pretrain_trainer import PretrainTrainer

SEED = 12345


def validate_pretext(trainer: "PretrainTrainer") -> None:
    """Measure the objectives on unaugmented patches of the training images and write what a person would look at.

    Writes `validation/summary.json` (means of every loss part and metric, chance levels beside them; the effective rank
    of the pooled bottleneck of whole, unmasked patches) and one picture per objective. The patches are seeded, so the
    figures repeat.
    """
    seed_everything(SEED + trainer.local_rank)
    trainer.generator.manual_seed(2 * SEED + trainer.local_rank)
    network = trainer.pretraining_network.eval()
    loader = trainer.make_loader(augment=False)
    outputs, pooled = [], []
    with torch.no_grad():
        for _ in trange(trainer.num_val_iterations_per_epoch, desc="Measuring", disable=trainer.local_rank != 0):
            batch = next(loader)
            outputs.append(trainer.validation_step(batch))
            bottleneck = network.stages(batch["data"].to(trainer.device))[-1]
            pooled.append(bottleneck.flatten(2).mean(dim=2))
        means = trainer.epoch_means(outputs)
        if trainer.local_rank != 0:
            return
        features = torch.cat(pooled)
        summary: dict[str, Any] = {
            "measured_on": f"{len(features)} unaugmented patches of {len(trainer.cohort)} training cases",
            "mean": means,
            "effective_rank": effective_rank(features),
            "effective_rank_limit": min(len(features) - 1, features.shape[1]),
        }
        folder = Path(trainer.output_folder) / "validation"
        folder.mkdir(exist_ok=True)
        patches = PretrainingBatch.from_loader(batch, trainer.device)
        for name, objective in network.objectives.items():
            views = objective.draw_views(patches, trainer.generator)
            picture = objective.picture(network.encode({name: views})[name], views, patches)
            picture.savefig(folder / f"{name}.png", dpi=110)
    partial = folder / "summary.json.part"
    partial.write_text(json.dumps(summary, indent=2))
    partial.replace(folder / "summary.json")
    for name, value in [*means.items(), ("effective rank", summary["effective_rank"])]:
        trainer.print_to_log_file(f"{name} {value:.4f}")
