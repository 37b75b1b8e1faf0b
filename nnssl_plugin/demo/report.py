"""The demo's picture page, made of what nnU-Net and the plugin left in the folder."""

import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
from markupsafe import Markup

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.demo.layout import DATASET, PREPARED, PREPROCESSED, RAW, REPORT, RESULTS, STUDY, STUDY_FILE
from nnssl_plugin.demo.preparation import COMMANDS, LOG
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.files import read_json, write_text
from nnssl_plugin.nnunet.dataset_json import channel_names
from nnssl_plugin.report.comparison import compare
from nnssl_plugin.report.contours import SegmentedCase, show_segmentations
from nnssl_plugin.report.figures import finetuning_curves
from nnssl_plugin.report.page import (
    code,
    facts,
    joined,
    link,
    listing,
    page,
    paragraph,
    picture,
    section,
    table,
)
from nnssl_plugin.report.sections import dice_section, pretraining_section
from nnssl_plugin.runs.output import clock
from nnssl_plugin.study.record import FINAL, read_record
from nnssl_plugin.study.study_folder import folder_of_run, read_study

CAVEAT = (
    "A few synthetic cases and minutes of computing show that the chain works, not that pre-training helps: "
    "with one seed, differences like these can be chance. Nothing here was chosen by looking at the test cases."
)
TITLES = ("pre-trained", "from scratch")
SHOWN_CASES = 3
BACKGROUND = "FLAIR"


@dataclass(frozen=True)
class _Trained:
    """A run of the study. `content`: its entry in `study.json`. `logging`: nnU-Net's, of its checkpoint."""

    content: Mapping[str, Any]
    folder: Path
    seconds: float
    logging: Mapping[str, Any]

    @property
    def steps_per_epoch(self) -> int:
        return int(self.content["steps"] // len(self.logging["epoch_end_timestamps"]))

    @property
    def seconds_per_step(self) -> float:
        """Median, because the first epoch also waits for the loaders to start."""
        epochs = zip(self.logging["epoch_start_timestamps"], self.logging["epoch_end_timestamps"], strict=True)
        return median(end - start for start, end in epochs) / self.steps_per_epoch


def write_demo_report(folder: Path, size: DemoSize) -> None:
    """Write `report.html`; a process killed meanwhile leaves no half of it."""
    study = read_study(folder / STUDY)
    runs = [_trained(folder, study, run) for run in study["runs"]]
    (pretraining,) = (run for run in runs if not run.content["labels"])
    compared = {
        title: next(run for run in runs if run.content["labels"] and bool(run.content["pretraining"]) is pretrained)
        for title, pretrained in zip(TITLES, (True, False), strict=True)
    }
    write_text(folder / REPORT, _page(folder, size, pretraining, compared))


def _trained(folder: Path, study: Mapping[str, Any], run: Mapping[str, Any]) -> _Trained:
    place = folder_of_run(folder / RESULTS, study, run)
    record = read_record(folder / STUDY, run["name"])
    logging = read_checkpoint(place / FINAL, mmap=True)["logging"]
    return _Trained(run, place, record.seconds if record else 0.0, logging)


def _page(folder: Path, size: DemoSize, pretraining: _Trained, compared: Mapping[str, _Trained]) -> str:
    software = ", ".join(f"{name} {version(name)}" for name in ("nnssl_plugin", "nnunetv2", "torch"))
    on_gpu = torch.cuda.is_available()
    processor = torch.cuda.get_device_name() if on_gpu else f"CPU with {torch.get_num_threads()} threads"
    first, second = (_result(folder, run) for run in compared.values())
    finetuned = next(iter(compared.values()))
    return page(
        "nnssl_plugin demo: pre-training for nnU-Net, the whole chain",
        f"{software}, Python {platform.python_version()}, {processor}",
        _facts(folder, size, pretraining, compared),
        dice_section(TITLES, compare(first, second), CAVEAT),
        _test_cases(folder, first, compared),
        pretraining_section(pretraining.folder / "validation", pretraining.logging, pretraining.steps_per_epoch),
        section(
            "Fine-tuning",
            picture(
                finetuning_curves({title: run.logging for title, run in compared.items()}, finetuned.steps_per_epoch),
                f"Both runs: {size.training} labelled cases, the same plans, steps, learning rate and seed. Pseudo-Dice is "
                "nnU-Net's measure on random patches of its validation cases, here the test cases; nothing depends on it.",
            ),
        ),
        _commands(folder, [pretraining, *compared.values()]),
    )


def _facts(folder: Path, size: DemoSize, pretraining: _Trained, compared: Mapping[str, _Trained]) -> str:
    finetuned = next(iter(compared.values()))
    total = read_json(folder / PREPARED)["seconds"] + sum(run.seconds for run in (pretraining, *compared.values()))
    images = size.unlabelled + size.training
    return facts(
        [
            (f"{images} cases", f"to pre-train on: {size.unlabelled} unlabelled ones, {size.training} training cases"),
            (f"{size.training} / {size.test}", "labelled training cases / test cases"),
            (f"{pretraining.content['steps']} steps", f"of pre-training, {pretraining.seconds_per_step:.2f} s each"),
            (f"{finetuned.content['steps']} steps", f"of fine-tuning, {finetuned.seconds_per_step:.2f} s each"),
            (f"{clock(total)} min", "of preparation and runs, some of them side by side"),
        ]
    )


def _test_cases(folder: Path, result: Mapping[str, Any], compared: Mapping[str, _Trained]) -> str:
    names = sorted(result["cases"])[:SHOWN_CASES]
    dataset = folder / RAW / DATASET
    modalities = channel_names(read_json(dataset / "dataset.json"))
    cases = [
        SegmentedCase(
            name,
            {modality: dataset / "imagesTr" / f"{name}_{i:04d}.nii.gz" for i, modality in enumerate(modalities)},
            {
                "reference": dataset / "labelsTr" / f"{name}.nii.gz",
                **{title: run.folder / "validation" / f"{name}.nii.gz" for title, run in compared.items()},
            },
        )
        for name in names
    ]
    return section(
        f"The first {len(names)} test cases",
        picture(
            show_segmentations(cases, result["regions"], BACKGROUND),
            f"The first test cases in the order of their names: modalities, and outlines on {BACKGROUND}, in the axial slice with most tumour.",
        ),
    )


def _commands(folder: Path, runs: list[_Trained]) -> str:
    seconds = read_json(folder / PREPARED)["seconds"]
    side_by_side = "" if torch.cuda.is_available() else " --parallel 2"
    rows = [["the data", _code(*COMMANDS.values()), clock(seconds), _log(LOG)]]
    rows.append(
        ["the study: all of the below", _code(f"nnssl_plugin study {STUDY_FILE} -o {STUDY}{side_by_side}"), "", ""]
    )
    for run in runs:
        log = f"{STUDY}/logs/{run.content['name']}.log"
        lines = (folder / log).read_text(encoding="utf-8", errors="replace").splitlines()
        commands = [_inside(folder, line[2:]) for line in lines if line.startswith("$ ")]
        rows.append([run.content["name"], _code(*commands), clock(run.seconds), _log(log)])
    variables = "\n".join(f'export {variable}="$PWD/{variable}"' for variable in (RAW, PREPROCESSED, RESULTS))
    return section(
        "What was run",
        paragraph("These commands, in the demo's folder, with"),
        listing(f'{variables}\nexport nnUNet_extTrainer="$(nnssl_plugin trainers)"'),
        table(["", "commands", "min:s", ""], rows, numbers=[2]),
        paragraph("The study file:"),
        listing((folder / STUDY_FILE).read_text(encoding="utf-8")),
        link(f"{STUDY}/report.html", "The study's own page"),
    )


def _inside(folder: Path, command: str) -> str:
    """The command as it is typed in the folder; only words that still need quotes keep them."""
    return shlex.join(word.removeprefix(f"{folder}/") for word in shlex.split(command))


def _code(*commands: str) -> Markup:
    return joined(map(code, commands), "<br>")


def _log(path: str) -> Markup:
    return link(path, "log")


def _result(folder: Path, run: _Trained) -> dict[str, Any]:
    return dict(read_json(folder / STUDY / "evaluation" / f"{run.content['name']}.json"))
