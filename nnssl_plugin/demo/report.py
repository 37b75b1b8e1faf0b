"""The demo's picture page, made of what nnU-Net and the plugin left in the folder."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import torch

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.demo.layout import COMPARED, DATASET, FINETUNING, PREPROCESSED, PRETRAINING, RAW, REPORT, RESULTS, Run
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.demo.steps import Step, log_of, seconds_of
from nnssl_plugin.files import write_text
from nnssl_plugin.nnunet.dataset_json import channel_names
from nnssl_plugin.report.comparison import RegionComparison, compare
from nnssl_plugin.report.contours import SegmentedCase, show_segmentations
from nnssl_plugin.report.figures import finetuning_curves
from nnssl_plugin.report.page import code, facts, link, listing, page, paragraph, picture, section, table
from nnssl_plugin.report.sections import dice_section, pretraining_section
from nnssl_plugin.runs.output import clock

HONESTY = (
    "A handful of synthetic cases and minutes of one computer prove that the chain works, not that pre-training helps: "
    "with one seed, differences like these can be chance. Nothing here was chosen by looking at the test cases."
)
SHOWN_CASES = 3
BACKGROUND = "FLAIR"


def demo_comparison(folder: Path) -> list[RegionComparison]:
    """Test scores of the pre-trained run and of the one from scratch."""
    first, second = (_json(folder / f"{run.evaluation}.json") for run in COMPARED)
    return compare(first, second)


def write_demo_report(folder: Path, size: DemoSize, steps: Sequence[Step], device: str) -> None:
    """Write `report.html`; a process killed meanwhile leaves no half of it."""
    write_text(folder / REPORT, _report(folder, size, steps, device))


def _report(folder: Path, size: DemoSize, steps: Sequence[Step], device: str) -> str:
    logging = {run: _logging(folder, run) for run in (PRETRAINING, *COMPARED)}
    software = ", ".join(f"{name} {version(name)}" for name in ("nnssl_plugin", "nnunetv2", "torch"))
    processor = torch.cuda.get_device_name() if device == "cuda" else f"CPU with {torch.get_num_threads()} threads"
    return page(
        "nnssl_plugin demo: pre-training for nnU-Net, the whole chain",
        f"{software}, Python {platform.python_version()}, {processor}",
        _facts(folder, size, steps, logging),
        dice_section([run.title for run in COMPARED], demo_comparison(folder), HONESTY),
        _test_cases(folder),
        pretraining_section(folder / PRETRAINING.validation, logging[PRETRAINING], size.pretraining_iterations),
        section(
            "Fine-tuning",
            picture(
                finetuning_curves({run.title: logging[run] for run in COMPARED}, size.finetuning_iterations),
                f"Both runs: {size.training} labelled cases, the same plans, steps, learning rate and seed. Pseudo-Dice is "
                "nnU-Net's measure on random patches of its validation cases, here the test cases; nothing depends on it.",
            ),
        ),
        _commands(folder, steps),
    )


def _facts(folder: Path, size: DemoSize, steps: Sequence[Step], logging: dict[Run, dict[str, Any]]) -> str:
    pretraining = size.pretraining_epochs * size.pretraining_iterations
    finetuning = size.finetuning_epochs * size.finetuning_iterations
    each = {
        PRETRAINING: _epoch_seconds(logging[PRETRAINING]) / size.pretraining_iterations,
        FINETUNING: _epoch_seconds(logging[FINETUNING]) / size.finetuning_iterations,
    }
    # Steps of a group run at once.
    groups = groupby(steps, key=lambda step: step.group or step.name)
    total = sum(max(seconds_of(folder, step) or 0 for step in group) for _, group in groups)
    images = size.unlabelled + size.training
    return facts(
        [
            (f"{images} cases", f"to pre-train on: {size.unlabelled} unlabelled ones, {size.training} training cases"),
            (f"{size.training} / {size.test}", "labelled training cases / test cases"),
            (f"{pretraining} steps", f"of pre-training, {each[PRETRAINING]:.2f} s each"),
            (f"{finetuning} steps", f"of fine-tuning, {each[FINETUNING]:.2f} s each"),
            (f"{clock(total)} min", "for all steps"),
        ]
    )


def _test_cases(folder: Path) -> str:
    result = _json(folder / f"{FINETUNING.evaluation}.json")
    names = sorted(result["cases"])[:SHOWN_CASES]
    dataset = folder / RAW / DATASET
    modalities = channel_names(_json(dataset / "dataset.json"))
    cases = [
        SegmentedCase(
            name,
            {modality: dataset / "imagesTr" / f"{name}_{i:04d}.nii.gz" for i, modality in enumerate(modalities)},
            {
                "reference": dataset / "labelsTr" / f"{name}.nii.gz",
                **{run.title: folder / run.validation / f"{name}.nii.gz" for run in COMPARED},
            },
        )
        for name in names
    ]
    return section(
        f"The first {len(names)} test cases",
        picture(
            show_segmentations(cases, result["regions"], BACKGROUND),
            f"By name, not by result: modalities, and outlines on {BACKGROUND}, in the axial slice with most tumour.",
        ),
    )


def _commands(folder: Path, steps: Sequence[Step]) -> str:
    rows = []
    for step in steps:
        seconds = seconds_of(folder, step)
        command = "" if callable(step.action) else code(step.full_recipe)
        log = log_of(folder, step)
        to_log = link(log.relative_to(folder).as_posix(), "log") if log.is_file() else ""
        rows.append([step.title, command, clock(seconds) if seconds is not None else "", to_log])
    variables = "\n".join(f'export {variable}="$PWD/{variable}"' for variable in (RAW, PREPROCESSED, RESULTS))
    return section(
        "What was run",
        paragraph("These commands, in the demo's folder, with"),
        listing(f'{variables}\nexport nnUNet_extTrainer="$(nnssl_plugin trainers)"'),
        table(["step", "command", "min:s", ""], rows, numbers=[2]),
    )


def _logging(folder: Path, run: Run) -> dict[str, Any]:
    return dict(read_checkpoint(folder / run.checkpoint, mmap=True)["logging"])


def _epoch_seconds(logging: dict[str, Any]) -> float:
    """Median, because the first epoch also waits for the loaders to start."""
    epochs = zip(logging["epoch_start_timestamps"], logging["epoch_end_timestamps"], strict=True)
    return median(end - start for start, end in epochs)


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
