"""Studies of classification: what is declared, which folds and settings the runs get, and how they are scored."""

import json
from pathlib import Path

import numpy as np
import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.predictions import Predictions, write_predictions
from nnssl_plugin.runs.device import Device
from nnssl_plugin.study import execute
from nnssl_plugin.study.study import run_study
from nnssl_plugin.study.study_file import StudyFile
from tests.class_data import write_classes
from tests.study_commands import Commands
from tests.synthetic import NAME
from tests.test_study_file import study_file

STUDY = """
name: tinyclasses
dataset: 901
configuration: 2d
plans: Tiny
evaluation: classes
columns: [kind]
folds: [0, 1]
set: [classification.folds=2, classification.iterations_per_epoch=2]
pretraining_seeds: [5]
budgets: [4]
labels:
  - {fraction: 0.5, draws: [1, 2], seeds: [7]}
  - {fraction: 1, seeds: [1, 2]}
controls:
  scratch: {}
recipes:
  restoration: {plan_options: --preset restoration}
schedules:
  classify: {}
"""


class Classifiers(Commands):
    """Leaves predictions too: right from pre-trained weights, half of them wrong from scratch."""

    def train(self, command) -> int:
        code = super().train(command)
        options = dict(zip(command[4::2], command[5::2], strict=False))
        if options["-tr"] == "SSLClassifyTrainer":
            base = self.root / "nnUNet_preprocessed" / NAME
            folds = json.loads((base / "classification_splits_kind.json").read_text())
            predicted = {}
            for i, case in enumerate(folds[int(command[3])]["val"]):
                truth = 1 - int(case[4:]) % 2
                wrong = "-pretrained_weights" not in options and i % 2
                predicted[case] = {"kind": np.eye(2)[1 - truth if wrong else truth] * 0.8 + 0.1}
            place = (
                self.root / "nnUNet_results" / NAME / f"SSLClassifyTrainer__{options['-p']}__2d" / f"fold_{command[3]}"
            )
            write_predictions(
                Predictions({"kind": ("block", "plain")}, predicted), place / "validation" / "predictions.csv"
            )
        return code


@pytest.fixture
def classifiers(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Classifiers:
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    write_classes(nnunet_folders)
    commands = Classifiers(nnunet_folders)
    monkeypatch.setattr(execute, "run_command", commands)
    return commands


def test_a_study_of_classes(classifiers: Classifiers, capsys: pytest.CaptureFixture[str]) -> None:
    folder = classifiers.root / "study"
    folder.mkdir()
    assert run_study(study_file(classifiers.root, STUDY), folder, [Device()], dry_run=False) == 0
    out = capsys.readouterr().out
    assert "AUC" in out
    base = classifiers.root / "nnUNet_preprocessed" / NAME
    of_classes = json.loads((base / "classification_splits_kind.json").read_text())
    splits = json.loads((base / "splits_final.json").read_text())
    trained = [command for command in classifiers.called if "SSLPretrainTrainer" in command]
    assert len(trained) == 2
    # A pre-training sees the training cases of its fold of the classification, and no other.
    assert [splits[int(command[3])]["train"] for command in trained] == [fold["train"] for fold in of_classes]
    assert sum("SSLClassifyTrainer" in command for command in classifiers.called) == 2 * 2 * (2 + 2)
    plans = json.loads((base / "tinyclasses_restoration_classify_50percent_draw2_seed7_steps4.json").read_text())
    assert (
        plans["nnssl_plugin"]["classification"]
        | {
            "columns": ["kind"],
            "epochs": 2,
            "label_fraction": 0.5,
            "label_seed": 2,
            "seed": 7,
        }
        == plans["nnssl_plugin"]["classification"]
    )
    tables = json.loads((folder / "results.json").read_text()) if (folder / "results.json").is_file() else None
    assert tables is None or tables
    assert "restoration, classify" in out
    assert (folder / "report.html").stat().st_size


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("columns: [kind]\n", "", "needs 'columns'"),
        ("columns: [kind]", "columns: [kin]", "nearest of the data set's table is 'kind'"),
        ("evaluation: classes", "evaluation: regions", "need 'evaluation: classes'"),
        ("{fraction: 0.5, draws", "{count: 2, draws", "write 'fraction'"),
        ("folds: [0, 1]", "patients: {development: [p00]}", "name 'folds' instead"),
        ("set: [", "set: [classification.seed=1, ", "given by 'seeds'"),
        ("folds: [0, 1]", "folds: [0, 4]", "there are folds 0 to 1"),
    ],
)
def test_what_is_wrong_is_named(classifiers: Classifiers, before: str, after: str, message: str) -> None:
    assert before in STUDY
    file = study_file(classifiers.root, STUDY.replace(before, after))
    with pytest.raises(InputError, match=message):
        run_study(file, classifiers.root, [Device()], dry_run=True)
    assert not classifiers.called


def test_classifiers_are_the_default_trainer(tmp_path: Path) -> None:
    study = StudyFile(study_file(tmp_path, STUDY)).study
    assert study.controls["scratch"].trainer == study.schedules["classify"].trainer == "SSLClassifyTrainer"
    assert study.recipes["restoration"].trainer == "SSLPretrainTrainer"
