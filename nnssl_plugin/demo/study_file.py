"""The demo's study: pre-training, fine-tuning and training from scratch, as a study file that can be read and run by hand."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from nnssl_plugin.demo.layout import CONFIGURATION, STUDY_FILE
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.files import write_text

CONTROL, RECIPE, SCHEDULE = "scratch", "default", "warmup"


def write_study_file(folder: Path, size: DemoSize, test_patients: Sequence[str]) -> Path:
    """Write the study file of the demo; returns its path."""
    patch, features = (" ".join(map(str, numbers)) for numbers in (size.patch_size, size.features))
    both: dict[str, object] = {"validation_iterations": size.validation_iterations, "save_every": size.save_every}
    settings: dict[str, dict[str, object]] = {
        "pretraining": {
            "datasets": "[502]",
            "epochs": size.pretraining_epochs,
            "iterations_per_epoch": size.pretraining_iterations,
            **both,
        },
        "finetuning": {
            "epochs": size.finetuning_epochs,
            "iterations_per_epoch": size.finetuning_iterations,
            **both,
        },
    }
    content = {
        "name": "Demo",
        "dataset": 501,
        "configuration": CONFIGURATION,
        "patients": {"test": [*test_patients], "scored": "test"},
        "evaluation": "brats",
        "plan_options": f"--batch-size {size.finetuning_batch_size} --patch-size {patch} --features {features}",
        "pretraining_options": f"--batch-size {size.pretraining_batch_size}",
        "set": [f"{part}.{name}={value}" for part, values in settings.items() for name, value in values.items()],
        "pretraining_seeds": [size.seed],
        "labels": [{"fraction": 1.0, "seeds": [size.seed]}],
        "controls": {CONTROL: {}},
        "recipes": {RECIPE: {}},
        "schedules": {SCHEDULE: {}},
    }
    file = folder / STUDY_FILE
    write_text(file, yaml.safe_dump(content, sort_keys=False, width=110))
    return file
