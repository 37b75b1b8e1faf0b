"""The demo's picture page, made of what nnU-Net and the plugin left in the folder."""

import inspect
import json
import platform
from collections.abc import Sequence
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nnssl_plugin.data.dataset_json import channel_names
from nnssl_plugin.demo.layout import COMPARED, DATASET, FINETUNING, PREPROCESSED, PRETRAINING, RAW, REPORT, RESULTS, Run
from nnssl_plugin.demo.output import clock
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.demo.steps import Step, log_of, seconds_of
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.report.comparison import RegionComparison, compare
from nnssl_plugin.report.contours import SegmentedCase, show_segmentations
from nnssl_plugin.report.figures import case_scores, finetuning_curves, pretext_curves
from nnssl_plugin.report.page import columns, facts, page, paragraph, picture, section, table

HONESTY = (
    "A handful of synthetic cases and minutes of one computer prove that the chain works, not that pre-training helps: "
    "differences of this size change sign with the seed. Nothing here was chosen by looking at the test cases."
)
SHOWN_CASES = 3
BACKGROUND = "FLAIR"
CHANCE = "_chance"


def demo_comparison(folder: Path) -> list[RegionComparison]:
    """Test scores of the pre-trained run and of the one from scratch."""
    first, second = (_json(folder / f"{run.evaluation}.json") for run in COMPARED)
    return compare(first, second)


def write_demo_report(folder: Path, size: DemoSize, steps: Sequence[Step], device: str) -> None:
    """Write `report.html`; a process killed meanwhile leaves no half of it."""
    partial = folder / f"{REPORT}.part"
    partial.write_text(_report(folder, size, steps, device), encoding="utf-8")
    partial.replace(folder / REPORT)


def _report(folder: Path, size: DemoSize, steps: Sequence[Step], device: str) -> str:
    logging = {run: _logging(folder, run) for run in (PRETRAINING, *COMPARED)}
    processor = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    software = ", ".join(f"{name} {version(name)}" for name in ("nnssl_plugin", "nnunetv2", "torch"))
    return page(
        "nnssl_plugin demo: pre-training for nnU-Net, the whole chain",
        f"{software}, Python {platform.python_version()}, {processor}",
        _facts(folder, size, steps, logging),
        _result(folder),
        _test_cases(folder),
        _pretraining(folder, size, logging[PRETRAINING]),
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
    pretraining_steps = size.pretraining_epochs * size.pretraining_iterations
    finetuning_steps = size.finetuning_epochs * size.finetuning_iterations
    total = sum(seconds_of(folder, step) or 0 for step in steps)
    return facts(
        [
            (
                f"{size.unlabelled + size.training}",
                f"images pre-trained on: {size.unlabelled} unlabelled cases and the training cases",
            ),
            (f"{size.training} / {size.test}", "labelled training cases / test cases"),
            (
                f"{pretraining_steps} steps",
                f"of pre-training, {_seconds_per_step(logging[PRETRAINING], size.pretraining_iterations):.2f} s each",
            ),
            (
                f"{finetuning_steps} steps",
                f"of fine-tuning, {_seconds_per_step(logging[FINETUNING], size.finetuning_iterations):.2f} s each",
            ),
            (clock(total), "minutes for all steps"),
        ]
    )


def _result(folder: Path) -> str:
    compared = demo_comparison(folder)
    titles = [run.title for run in COMPARED]
    rows = [
        [
            one.region,
            f"{one.first.mean():.3f}",
            f"{one.second.mean():.3f}",
            f"{one.difference:+.3f}",
            f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}",
            f"{int((one.first > one.second).sum())} of {len(one.first)}",
        ]
        for one in compared
    ]
    header = ["region", *titles, "difference", "95 % interval", "cases better"]
    return section(
        "Dice of the test cases",
        paragraph(HONESTY, "note"),
        columns(
            table(header, rows, numbers=range(1, 6))
            + paragraph(
                "WT whole tumour, TC tumour core, ET enhancing tumour; a region empty in reference and prediction counts "
                "1 (BraTS). The interval is a bootstrap of the mean difference over these cases, one seed.",
                "soft",
            ),
            picture(
                case_scores(titles, compared), "Every test case, joined between the runs; the bars are means.", 480
            ),
        ),
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


def _pretraining(folder: Path, size: DemoSize, logging: dict[str, Any]) -> str:
    validation = folder / PRETRAINING.validation
    summary = _json(validation / "summary.json")
    means = summary["mean"]
    rows = [
        [
            name.replace("/", ": ").replace("_", " "),
            f"{value:.3f}",
            f"{means[name + CHANCE]:.3f}" if name + CHANCE in means else "",
        ]
        for name, value in means.items()
        if not name.endswith(CHANCE)
    ]
    rows.append(
        [
            "effective rank of the features",
            f"{summary['effective_rank']:.1f}",
            f"at most {summary['effective_rank_limit']}",
        ]
    )
    curves = pretext_curves(logging, size.pretraining_iterations)
    pictures = [
        picture(path, f"{name}: {inspect.getdoc(OBJECTIVES[name].picture)}", 560)
        for name in OBJECTIVES
        if (path := validation / f"{name}.png").is_file()
    ]
    return section(
        "Pre-training",
        paragraph(
            "Without any label. Accuracy and retrieval should rise above chance, the error of hidden voxels fall below "
            "that of predicting the mean of the patch; a few hundred steps are the very beginning of it.",
        ),
        picture(curves, "Per epoch; the dotted line is chance.") if curves else "",
        columns(
            table(["measured at the end", "value", "chance"], rows, numbers=[1, 2])
            + paragraph(f"On {summary['measured_on']}.", "soft"),
            *pictures,
        ),
    )


def _commands(folder: Path, steps: Sequence[Step]) -> str:
    rows = []
    for step in steps:
        seconds = seconds_of(folder, step)
        command = "" if callable(step.action) else f"<code>{escape(step.full_recipe)}</code>"
        log = log_of(folder, step)
        link = f'<a href="{log.relative_to(folder).as_posix()}">log</a>' if log.is_file() else ""
        rows.append([step.title, command, clock(seconds) if seconds is not None else "", link])
    variables = "\n".join(f'export {variable}="$PWD/{variable}"' for variable in (RAW, PREPROCESSED, RESULTS))
    return section(
        "What was run",
        paragraph("These commands, in the demo's folder, with"),
        f'<pre><code>{variables}\nexport nnUNet_extTrainer="$(nnssl_plugin trainers)"</code></pre>',
        table(["step", "command", "min:s", ""], rows, numbers=[2]),
    )


def _logging(folder: Path, run: Run) -> dict[str, Any]:
    checkpoint = torch.load(folder / run.checkpoint, map_location="cpu", weights_only=False, mmap=True)
    return dict(checkpoint["logging"])


def _seconds_per_step(logging: dict[str, Any], steps_per_epoch: int) -> float:
    epochs = zip(logging["epoch_start_timestamps"], logging["epoch_end_timestamps"], strict=True)
    # The first epoch also waits for the loaders to start.
    seconds = sorted(end - start for start, end in epochs)
    return float(seconds[len(seconds) // 2]) / steps_per_epoch


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))
