"""`nnssl_plugin pseudo-label` on tiny models: which cases, what is recorded, interruptions and bad input."""

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.run.run_training import get_trainer_from_args

from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.planning.fused_network import with_contextual_fusion
from nnssl_plugin.pseudo_labels.agreement import agreement, confidence
from nnssl_plugin.pseudo_labels.dataset_folder import TABLE
from nnssl_plugin.pseudo_labels.ensemble import Ensemble
from nnssl_plugin.pseudo_labels.teachers import find_teachers
from nnssl_plugin.pseudo_labels.unlabelled_cases import INCOMPLETE, MEASURED, TRAINED, find_unlabelled
from nnssl_plugin.runs.command import installed_script
from tests.synthetic import NAME, brain, make_dataset_json, make_plans, write_dataset

CPU = torch.device("cpu")
UNLABELLED = "Dataset902_Unlabelled"
PSEUDO = "Dataset903_TinyPseudoLabels"
TINY = {"epochs": 1, "iterations_per_epoch": 2, "validation_iterations": 1, "save_every": 1}


@pytest.fixture
def folder(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A labelled data set of six cases (train 4, validation 2), and an unlabelled one of three."""
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    write_dataset(nnunet_folders, make_plans({"finetuning": TINY}))
    write_raw(nnunet_folders, UNLABELLED, range(10, 13), nnssl_plugin={"unlabelled": True, "cases": {}})
    return nnunet_folders


def write_raw(folder: Path, name: str, numbers: Any, **extra: Any) -> None:
    """Raw images of a data set, without labels."""
    raw = folder / "nnUNet_raw" / name
    (raw / "imagesTr").mkdir(parents=True)
    cases = [f"case{number:02d}" for number in numbers]
    for case, number in zip(cases, numbers, strict=True):
        for channel, image in enumerate(brain(number)):
            sitk.WriteImage(sitk.GetImageFromArray(image), str(raw / "imagesTr" / f"{case}_{channel:04d}.nii.gz"))
    (raw / "dataset.json").write_text(json.dumps(make_dataset_json(cases, **extra)))


def teacher(folder: Path, plans: str = "Tiny", fold: int = 0, seed: int = 0, network: Any = None) -> Path:
    """A finished fold with random weights."""
    base = folder / "nnUNet_preprocessed" / NAME
    content = {**json.loads((base / "Tiny.json").read_text(encoding="utf-8")), "plans_name": plans}
    (base / f"{plans}.json").write_text(json.dumps(content))
    trainer = get_trainer_from_args(NAME, "3d_fullres", fold, "SSLScratchTrainer", plans, device=CPU)
    torch.manual_seed(seed)
    trainer.initialize()
    trainer.current_epoch = 0
    # Mirrored predictions take eight times as long.
    trainer.inference_allowed_mirroring_axes = None
    output = Path(trainer.output_folder)
    trainer.save_checkpoint(str(output / "checkpoint_final.pth"))
    shutil.copy(base / "dataset.json", output.parent)
    shutil.copy(base / f"{plans}.json", output.parent / "plans.json")
    return output


def pseudo_label(folds: list[Path], *options: Any, cases_of: str = UNLABELLED) -> int:
    command = ["pseudo-label", "-m", *folds, "--cases-of", cases_of, "-d", 903, "-device", "cpu", *options]
    return main([str(word) for word in command])


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "nnUNet_raw" / PSEUDO / TABLE).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --------------------------------------------------------------- the numbers


def test_agreement_is_the_mean_dice_of_every_pair_and_label() -> None:
    a, b, c = (np.array([[values]]) for values in ([1, 1, 2, 0], [1, 0, 2, 2], [0, 0, 0, 0]))
    # Dice of label 1: 2/3, 0, 0; of label 2: 2/3, 0, 0.
    assert agreement([a, b, c], [1, 2]) == pytest.approx((2 / 3 + 2 / 3) / 6)
    # Of the region of both labels: voxels 0, 1, 2 against 0, 2, 3.
    assert agreement([a, b], [(1, 2)]) == pytest.approx(2 * 2 / (3 + 3))
    assert agreement([c, c], [1]) == 1, "nothing in both agrees"
    assert agreement([a], [1]) is None


def test_confidence_is_the_mean_probability_over_the_foreground() -> None:
    probabilities = np.array([[0.9, 0.3, 0.1], [0.1, 0.7, 0.4], [0.0, 0.0, 0.5]])[:, None, None]
    assert confidence(probabilities, np.array([[[0, 1, 2]]])) == pytest.approx((0.7 + 0.5) / 2)
    assert confidence(probabilities, np.zeros((1, 1, 3), int)) is None


# ----------------------------------------------------------------- the cases


def test_patients_of_the_models_are_left_out_and_incomplete_cases(folder: Path) -> None:
    teachers, taught = find_teachers([teacher(folder)])
    found = find_unlabelled(UNLABELLED, teachers, taught)
    assert sorted(found.images) == ["case10", "case11", "case12"]
    assert not found.left_out
    assert [image.name for image in found.images["case10"]] == [f"case10_{channel:04d}.nii.gz" for channel in range(4)]
    # Beside them: a training case, a validation case, another scan of a validation patient, an incomplete one.
    shutil.rmtree(folder / "nnUNet_raw" / UNLABELLED)
    cases = {"case10": {"patient": "case05", "missing": []}, "case11": {"patient": "x", "missing": ["T2"]}}
    ours = {"unlabelled": True, "cases": cases}
    write_raw(folder, UNLABELLED, (0, 4, 10, 11, 12), nnssl_plugin=ours)
    found = find_unlabelled(UNLABELLED, teachers, taught)
    assert sorted(found.images) == ["case12"]
    assert found.left_out == {MEASURED: 2, TRAINED: 1, INCOMPLETE: 1}


def test_a_scan_of_a_patient_of_the_models_under_another_name(folder: Path) -> None:
    teachers, taught = find_teachers([teacher(folder)])
    scan = {"patient_known": False, "missing": [], "content": {"T1": "a"}}
    file = folder / "nnUNet_preprocessed" / NAME / "dataset.json"
    labelled = json.loads(file.read_text(encoding="utf-8"))
    labelled["nnssl_plugin"] = {"cases": {"case05": {"patient": "case05", **scan}}}
    file.write_text(json.dumps(labelled), encoding="utf-8")
    shutil.rmtree(folder / "nnUNet_raw" / UNLABELLED)
    ours = {"unlabelled": True, "cases": {"case11": {"patient": "case11", **scan}}}
    write_raw(folder, UNLABELLED, (10, 11, 12), nnssl_plugin=ours)
    found = find_unlabelled(UNLABELLED, teachers, taught)
    assert sorted(found.images) == ["case10", "case12"]
    assert found.left_out == {MEASURED: 1}


def test_the_models_own_data_set_gives_what_no_model_saw(folder: Path) -> None:
    """As with few labels: fold 1 is a subset of fold 0's training cases, with the same validation cases."""
    file = folder / "nnUNet_preprocessed" / NAME / "splits_final.json"
    splits = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps([*splits, {"train": ["case01"], "val": splits[0]["val"]}]))
    write_raw(folder, NAME, range(6))
    teachers, taught = find_teachers([teacher(folder, fold=1)])
    assert sorted(find_unlabelled(NAME, teachers, taught).images) == ["case00", "case02", "case03"]
    teachers, taught = find_teachers([teacher(folder, fold=0)])
    with pytest.raises(InputError, match=r"has no case to label .*4 of training patients"):
        find_unlabelled(NAME, teachers, taught)


def test_bad_input_is_said_before_any_work(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    first = teacher(folder)
    other = folder / "nnUNet_results" / "Dataset904_Other" / first.parent.name
    shutil.copytree(first.parent, other)
    (folder / "nnUNet_preprocessed" / "Dataset904_Other").mkdir()
    for file in ("splits_final.json", "dataset.json"):
        shutil.copy(folder / "nnUNet_preprocessed" / NAME / file, folder / "nnUNet_preprocessed" / "Dataset904_Other")
    write_raw(folder, "Dataset905_Channels", [20], channels=2)
    damaged = teacher(folder, "Damaged")
    (damaged / "checkpoint_final.pth").write_bytes(b"PK")
    unknown = first.parent / "fold_7"
    shutil.copytree(first, unknown)
    for folds, options, cases_of, message in (
        ([first.parent], [], UNLABELLED, "is no finished fold"),
        ([folder / "fold_0"], [], UNLABELLED, "is no finished fold"),
        ([first, first], [], UNLABELLED, "is named twice"),
        ([first, other / "fold_0"], [], UNLABELLED, "trained with another data set"),
        ([unknown], [], UNLABELLED, "has no fold 7"),
        ([damaged], [], UNLABELLED, "is truncated or damaged"),
        ([first], ["-device", "cuda"], UNLABELLED, "there is no GPU here"),
        ([first], [], "999", "data set 999"),
        ([first], [], "905", "has the channels ['T1', 'T1c']"),
        ([first], ["-d", 902], UNLABELLED, "the id is taken by Dataset902_Unlabelled"),
        ([first], ["-d", 1000], UNLABELLED, "an id from 1 to 999"),
    ):
        assert pseudo_label(folds, *options, cases_of=cases_of) == 2, message
        error = capsys.readouterr().err
        assert message in error
        assert error.count("nnssl_plugin pseudo-label: error:") == 1
    assert not list((folder / "nnUNet_raw").glob("*903*"))
    assert not list((folder / "nnUNet_raw").glob(".*"))


# --------------------------------------------------------------- the command


def test_labels_table_and_mark(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folds = [teacher(folder, f"Tiny{seed}", seed=seed) for seed in (1, 2)]
    assert pseudo_label(folds) == 0
    raw = folder / "nnUNet_raw" / PSEUDO
    content = json.loads((raw / "dataset.json").read_text(encoding="utf-8"))
    assert content["labels"] == {"background": 0, "tumor": 1}
    assert content["numTraining"] == 3
    mark = content["nnssl_plugin"]["pseudo_labelled"]
    assert mark["cases_of"] == UNLABELLED
    assert [(made["model"], made["fold"]) for made in mark["teachers"]] == [
        ("SSLScratchTrainer__Tiny1__3d_fullres", "0"),
        ("SSLScratchTrainer__Tiny2__3d_fullres", "0"),
    ]
    assert mark["teachers"][0]["training_cases"] == ["case00", "case01", "case02", "case03"]
    rows = {row["case"]: row for row in table(folder)}
    assert sorted(rows) == ["case10", "case11", "case12"]
    # Against nnU-Net's predictor, model by model.
    teachers, _ = find_teachers(folds)
    members = [Ensemble([one], CPU).predictors[0] for one in teachers]
    for case, row in rows.items():
        files = content["dataset"][case]["images"]
        assert all(UNLABELLED in file for file in files), "images stay where they are"
        image, properties = Ensemble(teachers[:1], CPU).files.read_images(files)
        each = [one.predict_single_npy_array(image, properties, None, None, True) for one in members]
        mean = (each[0][1] + each[1][1]) / 2
        label = sitk.ReadImage(str(raw / content["dataset"][case]["label"]))
        expected = mean.argmax(axis=0)
        assert np.array_equal(sitk.GetArrayFromImage(label), expected)
        assert 0 < expected.mean() < 1, "a random network says something of both"
        a, b = (segmentation == 1 for segmentation, _ in each)
        assert float(row["agreement"]) == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert float(row["confidence"]) == pytest.approx(mean[1][expected == 1].mean(), abs=1e-6)
        assert float(row["foreground"]) == pytest.approx(expected.mean())
        assert row["patient"] == case
    assert not list((folder / "nnUNet_raw").glob(".*"))
    capsys.readouterr()
    assert pseudo_label(folds) == 0
    assert "nothing to do" in capsys.readouterr().out
    # A case more: the data set is no longer what was asked for.
    unlabelled = folder / "nnUNet_raw" / UNLABELLED / "imagesTr"
    for channel in range(4):
        shutil.copy(unlabelled / f"case10_{channel:04d}.nii.gz", unlabelled / f"case13_{channel:04d}.nii.gz")
    assert pseudo_label(folds) == 2
    assert "was made with other settings or models" in capsys.readouterr().err
    # Other models: never silently another data set under the same name.
    assert pseudo_label(folds[:1]) == 2
    assert "was made with other settings or models" in capsys.readouterr().err
    (folder / "nnUNet_preprocessed" / PSEUDO).mkdir()
    assert pseudo_label(folds[:1], "--overwrite") == 0
    assert "no agreement to record" in capsys.readouterr().out
    assert {row["agreement"] for row in table(folder)} == {""}
    assert not (folder / "nnUNet_preprocessed" / PSEUDO).exists(), "preprocessed from other labels"
    # Pseudo-labels of pseudo-labels are not made by accident.
    assert pseudo_label(folds[:1], "-d", 906, cases_of=PSEUDO) == 2
    assert "is pseudo-labelled itself" in capsys.readouterr().err


def test_an_interrupted_command_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fold = teacher(folder)
    real, asked = Ensemble.predict, []

    def predict(self: Ensemble, images: Any) -> Any:
        asked.append(images[0].name[:6])
        if len(asked) == 2:
            raise KeyboardInterrupt
        return real(self, images)

    monkeypatch.setattr(Ensemble, "predict", predict)
    with pytest.raises(KeyboardInterrupt):
        pseudo_label([fold])
    assert not (folder / "nnUNet_raw" / PSEUDO).exists()
    assert pseudo_label([fold]) == 0
    assert asked == ["case10", "case11", "case11", "case12"]
    assert [row["case"] for row in table(folder)] == ["case10", "case11", "case12"]


def test_one_odd_case_costs_one_case(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fold = teacher(folder)
    (folder / "nnUNet_raw" / UNLABELLED / "imagesTr" / "case11_0002.nii.gz").write_bytes(b"no image")
    assert pseudo_label([fold]) == 1
    assert "case case11 is left out" in capsys.readouterr().err
    assert [row["case"] for row in table(folder)] == ["case10", "case12"]
    assert sorted(path.name for path in (folder / "nnUNet_raw" / PSEUDO / "labelsTr").iterdir()) == [
        "case10.nii.gz",
        "case12.nii.gz",
    ]


@pytest.mark.parametrize("kind", ["truncated", "refused"])
def test_labels_that_were_not_written_whole_are_named(
    folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fold = teacher(folder)
    write = sitk.WriteImage

    def full_disk(image: Any, file: str, *options: Any) -> None:
        if kind == "refused":
            raise RuntimeError("ITK ERROR: could not write")
        write(sitk.Cast(image * 0 + 3, sitk.sitkUInt8), file, *options)

    monkeypatch.setattr(sitk, "WriteImage", full_disk)
    assert pseudo_label([fold]) == 2
    assert "case10.nii.gz could not be written" in capsys.readouterr().err
    assert not (folder / "nnUNet_raw" / PSEUDO).exists()
    assert not list((folder / "nnUNet_raw").glob("**/.unfinished-*case10*"))


def test_a_network_of_the_plugin_is_found_without_the_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(folder, with_contextual_fusion(make_plans({"finetuning": TINY})))
    fold = teacher(folder)
    monkeypatch.delenv("nnUNet_extTrainer")
    assert pseudo_label([fold]) == 0
    assert len(table(folder)) == 3


@pytest.mark.slow
def test_labels_are_those_of_the_stock_commands(folder: Path) -> None:
    folds = [teacher(folder, f"Tiny{seed}", seed=seed) for seed in (1, 2)]
    assert pseudo_label(folds) == 0
    images, outputs = folder / "nnUNet_raw" / UNLABELLED / "imagesTr", []
    for fold in folds:
        outputs.append(folder / fold.parent.name)
        model = ["-m", fold.parent, "-f", 0, "-i", images, "-o", outputs[-1], "-device", "cpu", "--save_probabilities"]
        subprocess.run([installed_script("nnUNetv2_predict_from_modelfolder"), *map(str, model)], check=True)
    together = ["-i", *outputs, "-o", folder / "together", "-np", 1]
    subprocess.run([installed_script("nnUNetv2_ensemble"), *map(str, together)], check=True)
    for number in range(10, 13):
        name = f"case{number}.nii.gz"
        ours, stock = (folder / "nnUNet_raw" / PSEUDO / "labelsTr" / name, folder / "together" / name)
        assert np.array_equal(*(sitk.GetArrayFromImage(sitk.ReadImage(str(path))) for path in (ours, stock)))
