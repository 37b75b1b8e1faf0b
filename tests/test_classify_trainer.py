"""Classification inside the real nnU-Net, on a tiny preprocessed data set: training, resuming, weights, prediction."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint, run_training

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.classification.trained_classifier import load_classifier
from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import write_json
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.planning.fused_network import with_contextual_fusion
from tests.class_data import TINY, table_of, with_block, write_classes
from tests.synthetic import BACKGROUND, NAME, brain, make_plans, write_dataset

CPU = torch.device("cpu")


@pytest.fixture
def folder(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    return nnunet_folders


def trainer(fold: Any = 0, resume: bool = False, name: str = "SSLClassifyTrainer", configuration: str = "2d") -> Any:
    found = get_trainer_from_args(NAME, configuration, fold, name, "Tiny", resume, device=CPU)
    found.logger.plot_progress_png = lambda folder: None
    return found


def trained(fold: Any = 0, weights: Path | None = None) -> Any:
    found = trainer(fold)
    maybe_load_checkpoint(found, False, False, str(weights) if weights else None)
    found.run_training()
    found.perform_actual_validation()
    return found


def results(folder: Path, fold: Any = 0) -> Path:
    return folder / "nnUNet_results" / NAME / "SSLClassifyTrainer__Tiny__2d" / f"fold_{fold}"


def test_it_learns_what_can_be_seen(folder: Path) -> None:
    write_classes(folder, cases=12, epochs=3, iterations_per_epoch=20, initial_lr=0.01, dropout=0.0, tiles=4)
    trained()
    scores = json.loads((results(folder) / "validation" / "summary.json").read_text())
    assert scores["mean"]["kind"]["AUC"] > 0.9
    rows = list(csv.DictReader((results(folder) / "validation" / "predictions.csv").open()))
    assert {row["case"] for row in rows} == set(scores["cases"])
    assert set(rows[0]) == {"case", "kind", "kind=block", "kind=plain"}


def test_volumes_and_several_columns_in_one_run(folder: Path) -> None:
    names = write_classes(folder, columns=["kind", "size"])
    found = trainer(configuration="3d_fullres")
    found.run_training()
    found.perform_actual_validation()
    place = folder / "nnUNet_results" / NAME / "SSLClassifyTrainer__Tiny__3d_fullres" / "fold_0" / "validation"
    rows = list(csv.DictReader((place / "predictions.csv").open()))
    assert set(rows[0]) == {"case", "kind", "kind=block", "kind=plain", "size", "size=9", "size=10"}
    scores = json.loads((place / "summary.json").read_text())
    assert set(scores["mean"]) == {"kind", "size"}
    # The first case has no size: it counts for its kind alone.
    assert "size" not in scores["cases"].get(names[0], {})


def test_a_resumed_run_is_as_an_uninterrupted_one(folder: Path) -> None:
    write_classes(folder)
    whole = trained()
    expected = (results(folder) / "validation" / "predictions.csv").read_text()
    (results(folder) / "checkpoint_final.pth").unlink()
    killed = trainer()
    steps = iter(range(3))

    def step(batch: Any) -> Any:
        # Ends in the middle of the second epoch.
        next(steps)
        return type(killed).train_step(killed, batch)

    killed.train_step = step
    with pytest.raises((StopIteration, RuntimeError)):
        killed.run_training()
    interrupted = trainer(resume=True)
    maybe_load_checkpoint(interrupted, True, False)
    assert interrupted.current_epoch == 1
    interrupted.run_training()
    interrupted.perform_actual_validation()
    assert (results(folder) / "validation" / "predictions.csv").read_text() == expected
    assert torch.equal(
        whole.network.state_dict()["encoder.stages.0.0.convs.0.conv.weight"],
        interrupted.network.state_dict()["encoder.stages.0.0.convs.0.conv.weight"],
    )


def test_nnunets_own_loading_takes_checkpoints_of_its_networks(folder: Path) -> None:
    write_classes(folder)
    stock = trainer(name="nnUNetTrainer")
    torch.manual_seed(11)
    stock.initialize()
    torch.save({"network_weights": stock.network.state_dict()}, folder / "weights.pth")
    found = trainer()
    maybe_load_checkpoint(found, False, False, str(folder / "weights.pth"))
    ours, theirs = found.network.state_dict(), stock.network.state_dict()
    encoder = [name for name in ours if name.startswith("encoder.")]
    assert encoder
    assert all(torch.equal(ours[name], theirs[name]) for name in encoder)
    found.on_train_start()
    assert found.initial_weights != "none"


@pytest.mark.parametrize("fused", [False, True])
def test_a_pretraining_and_its_export_are_taken(folder: Path, fused: bool) -> None:
    settings = {"pretraining": {"epochs": 1, "iterations_per_epoch": 1, "validation_iterations": 1}}
    plans = make_plans({"classification": {**TINY, "columns": ["kind"]}, **settings}, channels=2)
    write_dataset(
        folder,
        with_contextual_fusion(plans) if fused else plans,
        8,
        2,
        nnssl_plugin={"unlabelled": True, "cases": table_of(8)},
    )
    run_training(NAME, "2d", "all", "SSLPretrainTrainer", "Tiny", device=CPU)
    made = folder / "nnUNet_results" / NAME / "SSLPretrainTrainer__Tiny__2d" / "fold_all" / "checkpoint_final.pth"
    export = folder / "exported.pth"
    assert main(["export", str(made), "--to-dataset", NAME, "-p", "Tiny", "-c", "2d", "-o", str(export)]) == 0
    for file in (made, export):
        found = trainer()
        maybe_load_checkpoint(found, False, False, str(file))
        ours, theirs = found.network.state_dict(), read_checkpoint(file)["network_weights"]
        encoder = [name for name in ours if name.startswith("encoder.")]
        assert encoder
        assert all(torch.equal(ours[name], theirs[name]) for name in encoder)


def test_weights_of_other_channels_are_refused(folder: Path) -> None:
    write_classes(folder, channels=2)
    torch.manual_seed(0)
    stock = trainer(name="nnUNetTrainer")
    stock.initialize()
    weights = stock.network.state_dict()
    first = "encoder.stages.0.0.convs.0.conv.weight"
    weights = {
        name: value[:, :1] if name.endswith("stages.0.0.convs.0.conv.weight") else value
        for name, value in weights.items()
    }
    assert weights[first].shape[1] == 1
    torch.save({"network_weights": weights}, folder / "weights.pth")
    with pytest.raises(AssertionError, match="shape"):
        maybe_load_checkpoint(trainer(), False, False, str(folder / "weights.pth"))


def test_a_finished_run_of_other_settings_is_kept(folder: Path) -> None:
    write_classes(folder)
    trained()
    write_classes(folder, dropout=0.1)
    with pytest.raises(InputError, match="differs in dropout"):
        trained()


def test_the_checkpoint_says_what_it_is_and_names_no_case(folder: Path) -> None:
    write_classes(folder)
    trained()
    checkpoint = read_checkpoint(results(folder) / "checkpoint_final.pth")
    assert checkpoint["nnssl_plugin"]["classes"] == {"kind": ["block", "plain"]}
    assert "case00" not in str({key: value for key, value in checkpoint.items() if key != "network_weights"})


def test_a_data_set_without_a_table_is_refused(folder: Path) -> None:
    write_dataset(folder, make_plans({"classification": {"columns": ["kind"]}}))
    with pytest.raises(InputError, match="the data set has no table"):
        trainer().initialize()


def raw_images(folder: Path, cases: int) -> Path:
    images = folder / "images"
    images.mkdir()
    for i in range(cases):
        image = brain(100 + i, 2)
        image = with_block(image, 100 + i)[0] if i % 2 else image
        for channel in range(2):
            file = images / f"new{i}_000{channel}.nii.gz"
            written = sitk.GetImageFromArray(image[channel] - BACKGROUND)
            written.SetOrigin((5.0, -3.0, 2.0))
            sitk.WriteImage(written, str(file))
    return images


def test_prediction_ensembles_folds_and_writes_maps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(folder, cases=12, epochs=3, iterations_per_epoch=20, initial_lr=0.01, dropout=0.0, tiles=4)
    for fold in (0, 1):
        trained(fold)
    images, output, maps = raw_images(folder, 4), folder / "out" / "predictions.csv", folder / "maps"
    output.parent.mkdir()
    words = ["classify", "-d", NAME, "-p", "Tiny", "-c", "2d", "-f", "0", "1", "-device", "cpu"]
    assert main([*words, "-i", str(images), "-o", str(output), "--maps", str(maps)]) == 0
    rows = {row["case"]: row for row in csv.DictReader(output.open())}
    assert [rows[f"new{i}"]["kind"] for i in range(4)] == ["plain", "block", "plain", "block"]
    content = json.loads(output.with_suffix(".json").read_text())
    assert content["temperature"]["kind"] > 0
    assert content["cases"]["new1"]["kind"]["class"] == "block"
    # The evidence for a block lies where the block is, on the image's own grid.
    cam = sitk.ReadImage(str(maps / "new1_kind_block.nii.gz"))
    assert cam.GetOrigin() == (5.0, -3.0, 2.0)
    values = sitk.GetArrayFromImage(cam)
    _, place = with_block(brain(101, 2), 101)
    inside = np.zeros(values.shape, bool)
    inside[place] = True
    assert values[inside].mean() > 2 * values[~inside].mean()
    attention = sitk.GetArrayFromImage(sitk.ReadImage(str(maps / "new1_attention.nii.gz")))
    slices = attention.max(axis=(1, 2))
    assert slices[place[0]].mean() > slices[[z for z in range(24) if z not in range(*place[0].indices(24))]].mean()
    assert (maps / "saliency.html").stat().st_size


def test_bad_input_of_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(folder)
    trained()
    (folder / "empty").mkdir()
    output = folder / "p.csv"
    words = ["classify", "-d", NAME, "-p", "Tiny", "-c", "2d", "-f", "0", "-device", "cpu", "-o", str(output)]

    def error(*more: str) -> str:
        assert main([*words, *more]) == 2
        return capsys.readouterr().err

    assert "holds no image named CASE_0000.nii.gz" in error("-i", str(folder / "empty"))
    (folder / "folder.csv").mkdir()
    assert "a file that ends in .csv is expected" in error("-i", str(folder), "-o", str(folder / "folder.csv"))
    (folder / "file").touch()
    assert "--maps" in error("-i", str(folder), "--maps", str(folder / "file"))
    if not torch.cuda.is_available():
        assert "-device cpu predicts without one" in error("-i", str(folder), "-device", "cuda")
    images = raw_images(folder, 2)
    assert "no checkpoint_final.pth of fold 1" in error("-i", str(images), "-f", "0", "1")
    (images / "new1_0001.nii.gz").unlink()
    assert "new1 has 1; expected 2 (T1, T1c)" in error("-i", str(images))
    assert "ends in .csv" in error("-i", str(images), "-o", str(folder / "p.txt"))
    assert "trained classifiers of this data set: SSLClassifyTrainer__Tiny__2d" in error(
        "-i", str(images), "-p", "Other"
    )
    summary = results(folder) / "validation" / "summary.json"
    summary.unlink()
    assert "run nnUNetv2_train with the same arguments and --val" in error("-i", str(images))
    assert not output.exists()


def test_a_class_of_cases_that_are_not_preprocessed_is_no_harm(folder: Path) -> None:
    write_classes(folder)
    file = folder / "nnUNet_preprocessed" / NAME / "dataset.json"
    content = json.loads(file.read_text())
    content["nnssl_plugin"]["cases"]["elsewhere"] = {"patient": "x", "missing": [], "table": {"kind": "another"}}
    write_json(content, file)
    trained()
    summary = json.loads((results(folder) / "validation" / "summary.json").read_text())
    assert summary["classes"] == {"kind": ["block", "plain"]}
    assert {case: one["kind"]["class"] for case, one in summary["cases"].items()} == {
        case: int(case[4:]) % 2 == 0 for case in summary["cases"]
    }


def test_fold_all_is_not_calibrated_on_what_it_was_trained_on(folder: Path) -> None:
    write_classes(folder)
    trained("all")
    classifier = load_classifier(results(folder, "all").parent, ["all"], CPU)
    assert classifier.temperature == {"kind": 1.0}
