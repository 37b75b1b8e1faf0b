from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.loader import PretrainingDataLoader
from nnssl_plugin.pretraining.make_loader import denormalization_of
from nnssl_plugin.pretraining.measure_pretext import measure_pretext
from nnssl_plugin.pretraining.run import PretrainingRun
from nnssl_plugin.pretraining.step import PretrainingStep
from nnssl_plugin.report.pretext_page import write_pretext_report
from nnssl_plugin.training.seeding import seed_everything

# Of the patches and views that a finished run is measured on, so that the figures repeat.
MEASURING_SEED = 12345


def report_pretext(
    run: PretrainingRun,
    step: PretrainingStep,
    loader: PretrainingDataLoader,
    cohort: Sequence[CaseRecord],
    folder: Path,
    rank: int,
    say: Callable[[str], Any],
) -> None:
    """Measure what a finished run has learned and write it to `folder/validation`; process 0 writes, all measure.

    Args:
        run: what it did.
        step: of the run, as it is at the end.
        loader: of plain patches of the training images.
        cohort: of the run.
        folder: of the run.
        rank: of this process.
        say: prints a line.
    """
    seed_everything(MEASURING_SEED + rank)
    step.generator.manual_seed(2 * MEASURING_SEED + rank)
    if rank == 0:
        say("Measuring what the pretext learned")
    batches = run.settings.validation_iterations
    measured = measure_pretext(step, lambda: next(loader), batches, run.modalities, quiet=rank != 0)
    if rank != 0:
        return
    what = f"{run.recipe}; {run.settings.epochs} epochs of {run.settings.iterations_per_epoch} steps"
    title = f"Pre-training on {run.plans['dataset_name']}"
    denormalized = any("denormalized" in need.images for need in run.needs.values())
    denormalization = denormalization_of(run, cohort) if denormalized else None
    validation = folder / "validation"
    summary = write_pretext_report(validation, title, what, len(cohort), measured, run.modalities, denormalization)
    for name, value in [*summary["mean"].items(), ("effective rank", summary["effective_rank"])]:
        say(f"{name} {value:.4f}")
    say(f"To look at: {validation / 'report.html'}")
