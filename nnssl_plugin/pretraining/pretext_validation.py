import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import trange

from nnssl_plugin.files import write_text
from nnssl_plugin.objectives.objective import PretrainingBatch
from nnssl_plugin.objectives.representation import effective_rank
from nnssl_plugin.report.pretext_page import denormalization_picture, embedding_map, pretext_page
from nnssl_plugin.training.seeding import seed_everything

if TYPE_CHECKING:
    from nnssl_plugin.pretraining.pretrain_trainer import PretrainTrainer

SEED = 12345
# Batches the embedding map is drawn from; more points would hide each other.
MAPPED = 8


def validate_pretext(trainer: "PretrainTrainer") -> None:
    """Measure the objectives on unaugmented patches of the training images and write what a person would look at.

    Writes `validation/summary.json` (means of every loss part and metric, chance levels beside them; what objectives
    measure over many batches; the effective rank of the pooled bottleneck of whole, unmasked patches), one picture per
    objective, of denormalisation and of the features, and `report.html` with all of them. The patches are seeded, so the
    figures repeat.
    """
    seed_everything(SEED + trainer.local_rank)
    trainer.generator.manual_seed(2 * SEED + trainer.local_rank)
    network = trainer.pretraining_network.eval()
    loader = trainer.make_loader(augment=False)
    outputs, pooled = [], []
    evidence: dict[str, list[dict[str, Tensor]]] = {name: [] for name in network.objectives}
    mapped: list[tuple[Tensor, list[int], list[str]]] = []
    complete: tuple[dict[str, Any], int] | None = None
    with torch.no_grad():
        for step in trange(trainer.num_val_iterations_per_epoch, desc="Measuring", disable=trainer.local_rank != 0):
            batch = next(loader)
            patches = PretrainingBatch.from_loader(batch, trainer.device)
            values, found = trainer.measure(patches)
            outputs.append(values)
            shown = patches.present.all(dim=1).nonzero().flatten().tolist()
            if shown and complete is None:
                complete = batch, shown[0]
            for name, rows in found.items():
                evidence[name].append(rows)
            pooled.append(_pooled(network, patches.data))
            if step < MAPPED:
                channels = enumerate(trainer.modalities)
                mapped += [
                    _one_modality(network, patches, c, name) for c, name in channels if patches.present[:, c].any()
                ]
        means = trainer.epoch_means(outputs)
        if trainer.local_rank != 0:
            return
        for name, objective in network.objectives.items():
            joined = {key: torch.cat([rows[key] for rows in evidence[name]]) for key in evidence[name][0]}
            means |= {f"{name}/{key}": value for key, value in objective.summary(joined).items()}
        features = torch.cat(pooled)
        summary: dict[str, Any] = {
            "measured_on": f"{len(features)} unaugmented patches of {len(trainer.cohort)} training cases",
            "mean": means,
            "effective_rank": effective_rank(features),
            "effective_rank_limit": min(len(features) - 1, features.shape[1]),
        }
        folder = Path(trainer.output_folder) / "validation"
        folder.mkdir(exist_ok=True)
        for name, objective in network.objectives.items():
            views = objective.draw_views(patches, trainer.generator)
            figure = objective.picture(network.encode({name: views})[name], views, patches)
            figure.savefig(folder / f"{name}.png", dpi=110)
        if complete is not None and len(trainer.modalities) > 1:
            batch, row = complete
            denormalization_picture(
                loader.denormalization,
                batch["data"][row],
                batch["foreground"][row],
                trainer.modalities,
                int(batch["patient"][row]),
            ).savefig(folder / "denormalization.png", dpi=70)
        embedding_map(
            torch.cat([rows for rows, _, _ in mapped]),
            [patient for _, patients, _ in mapped for patient in patients],
            [name for _, _, names in mapped for name in names],
        ).savefig(folder / "embedding.png", dpi=110)
    write_text(folder / "summary.json", json.dumps(summary, indent=2))
    write_text(folder / "report.html", _page(trainer, folder, summary))
    for name, value in [*means.items(), ("effective rank", summary["effective_rank"])]:
        trainer.print_to_log_file(f"{name} {value:.4f}")
    trainer.print_to_log_file(f"To look at: {folder / 'report.html'}")


def _pooled(network: Any, images: Tensor) -> Tensor:
    """`[N, C, *P]` → `[N, F]`, the deepest trained stage averaged over space."""
    pooled: Tensor = network.stages(images)[-1 - network.deepest_stage].flatten(2).mean(dim=2)
    return pooled


def _one_modality(
    network: Any, patches: PretrainingBatch, channel: int, name: str
) -> tuple[Tensor, list[int], list[str]]:
    """Pooled features of one modality of the cases that have it, their patients, and its name as often."""
    there = patches.present[:, channel]
    images = patches.data[there, channel : channel + 1].expand(-1, patches.data.shape[1], *patches.data.shape[2:])
    return _pooled(network, images), patches.patient[there].tolist(), [name] * int(there.sum())


def _page(trainer: "PretrainTrainer", folder: Path, summary: dict[str, Any]) -> str:
    pictures = {"../progress.png": "Curves: every loss part and measure by epoch, chance dotted"}
    for name, objective in trainer.pretraining_network.objectives.items():
        title = re.split(r"[:(]", type(objective).__doc__ or name)[0].strip()
        pictures[f"{name}.png"] = f"{title}: {(objective.picture.__doc__ or '').partition(chr(10))[0]}"
    pictures["denormalization.png"] = "DAD: a patch before and after denormalisation, by mode and pair of modalities"
    pictures["embedding.png"] = (
        "Features: the deepest trained stage, pooled, of one-modality views, by patient and by modality. Good features group by patient"
    )
    weights = ", ".join(f"{name} (weight {s.weight:g})" for name, s in trainer.active_objectives.items())
    measures = {**summary["mean"], "effective rank": summary["effective_rank"]}
    title = f"Pre-training on {trainer.plans_manager.dataset_name}"
    what = (
        f"{weights}; {trainer.num_epochs} epochs of {trainer.num_iterations_per_epoch} steps; {summary['measured_on']}"
    )
    return pretext_page(folder, title, measures, pictures, what)
