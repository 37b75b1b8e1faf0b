"""Frozen features and their judges: arithmetic, patients apart, refusals, and the real command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nnunetv2.run.run_training import run_training

from nnssl_plugin.cli import main
from nnssl_plugin.data.case_index import build_case_index, open_image
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.target_network import find_target_network
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.probing import probe as probe_module
from nnssl_plugin.probing.checkpoint_network import titles
from nnssl_plugin.probing.class_probe import probe_classes
from nnssl_plugin.probing.estimators import PROBES
from nnssl_plugin.probing.features import _at, network_features
from nnssl_plugin.probing.labelled_voxels import LabelledVoxels
from nnssl_plugin.probing.probed_classes import ProbedClasses, probed_classes
from nnssl_plugin.probing.seen_cases import seen_cases
from nnssl_plugin.probing.tiles import nearest_tile, padded, tile_corners
from nnssl_plugin.probing.voxel_probe import labelled_patients, probe_voxels
from tests.synthetic import NAME, make_plans, write_dataset

CASES = [f"case{i:02d}" for i in range(12)]
TINY = {"epochs": 2, "iterations_per_epoch": 2, "validation_iterations": 1, "save_every": 5, "seed": 3}


@pytest.mark.parametrize("patch", [(8, 12), (4, 8, 8)])
def test_features_of_voxels_are_those_of_the_upsampled_stages(patch: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    stages = [torch.randn(3, *patch), torch.randn(5, *(edge // 2 for edge in patch))]
    mode = "bilinear" if len(patch) == 2 else "trilinear"
    whole = torch.cat([F.interpolate(stage[None], size=patch, mode=mode)[0] for stage in stages])
    places = torch.from_numpy(np.argwhere(np.ones(patch)))
    torch.testing.assert_close(_at(stages, places, patch), whole.flatten(1).T, rtol=1e-5, atol=1e-5)


def test_tiles_cover_the_image_and_leave_the_background_out() -> None:
    image = padded(np.ones((2, 3, 10, 5)), (1, 8, 8))
    assert image.shape == (2, 3, 10, 8)
    everywhere = np.argwhere(np.ones((3, 10, 5)))
    corners = tile_corners(image.shape[1:], (1, 8, 8), everywhere)
    assert corners.tolist() == [[z, y, 0] for z in range(3) for y in (0, 2)]
    owners = nearest_tile(everywhere, corners, (1, 8, 8))
    relative = everywhere - corners[owners]
    assert (relative >= 0).all()
    assert (relative < (1, 8, 8)).all()
    assert tile_corners(image.shape[1:], (1, 8, 8), np.array([[2, 0, 0]])).tolist() == [[2, 0, 0]]


def column_of(classes: list[int]) -> ProbedClasses:
    return ProbedClasses(["a", "b"], np.arange(len(classes)), np.array(classes), {})


@pytest.mark.parametrize("judge", PROBES)
def test_classes_are_found_where_the_features_have_them_and_only_there(judge: str) -> None:
    rng = np.random.default_rng(0)
    classes, patients = [i % 2 for i in range(40)], [f"p{i}" for i in range(40)]
    noise = rng.normal(size=(40, 6)).astype(np.float32)
    informed = noise + 3 * np.array(classes)[:, None]
    assert min(probe_classes(PROBES[judge], informed, column_of(classes), patients, [0, 1])["AUC"]) > 0.95
    blind = np.mean(probe_classes(PROBES[judge], noise, column_of(classes), patients, range(5))["AUC"])
    assert 0.25 < blind < 0.75


@pytest.mark.parametrize("judge", PROBES)
def test_a_collapsed_network_is_at_chance(judge: str) -> None:
    classes, patients = [i % 2 for i in range(40)], [f"p{i}" for i in range(40)]
    found = probe_classes(PROBES[judge], np.ones((40, 6), np.float32), column_of(classes), patients, [0, 1])
    assert found["balanced accuracy"] == pytest.approx([0.5, 0.5], abs=0.25)
    rng = np.random.default_rng(0)
    voxels, owners = [labelled(rng) for _ in range(6)], [f"p{i}" for i in range(6)]
    dense = [np.zeros((60, 4), np.float16)] * 6
    scores = probe_voxels(PROBES[judge], dense, voxels, owners, 2, [0])
    assert scores["average precision"][0] == pytest.approx(0.3, abs=0.12)


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_a_case_of_one_tile_has_the_features_of_its_image(environment: Path, configuration: str) -> None:
    prepare(environment)
    target = find_target_network(NAME, "Tiny", configuration)
    network = target.fresh_network(0).eval()
    folder = environment / "nnUNet_preprocessed" / NAME / f"nnUNetPlans_{configuration[:2]}"
    (record,) = build_case_index(folder, CASES[:1], target.channels, {CASES[0]: CASES[0]})
    image = torch.from_numpy(open_image(record.file)[:])
    flat = configuration == "2d"
    # Of three axes: one tile of the whole image. Of two: one slice, in the middle of its padded tile.
    patch, places = ((32, 32), np.array([[12, 5, 7]])) if flat else ((24, 24, 24), np.array([[12, 5, 7], [3, 20, 11]]))
    record = replace(record, locations=np.array([[12, 12, 12]])) if flat else record
    found = network_features(network, [record], [places], patch, torch.device("cpu"), "")
    seen = F.pad(image[:, 12], (0, 8, 0, 8))[None] if flat else image[None]
    with torch.no_grad():
        stages = encoder_features(network, seen)
    pooled = torch.cat([stage.flatten(2).mean(dim=2) for stage in stages], dim=1)[0]
    np.testing.assert_allclose(found.pooled[0], pooled.numpy(), atol=1e-5)
    mode = "bilinear" if flat else "trilinear"
    whole = torch.cat([F.interpolate(stage, size=patch, mode=mode) for stage in stages], dim=1)[0]
    wanted = whole[(slice(None), *places[:, flat:].T)].T
    np.testing.assert_allclose(found.voxels[0], wanted.numpy(), atol=5e-3)


@pytest.mark.parametrize("judge", PROBES)
def test_a_patient_is_never_on_both_sides(judge: str) -> None:
    """Features that name the patient, whose class is a coin's: folds by case would find the class of nearly every case."""
    rng = np.random.default_rng(1)
    persons = rng.normal(size=(20, 8))
    coin = rng.permutation([0, 1] * 10)
    features = np.repeat(persons, 4, axis=0) + rng.normal(scale=0.01, size=(80, 8))
    classes, patients = np.repeat(coin, 4).tolist(), np.repeat([f"p{i}" for i in range(20)], 4).tolist()
    apart = np.mean(probe_classes(PROBES[judge], features, column_of(classes), patients, range(3))["AUC"])
    leaking = probe_classes(PROBES["k-NN"], features, column_of(classes), [str(i) for i in range(80)], [0])["AUC"]
    assert leaking[0] > 0.95
    assert apart < 0.75


def labelled(rng: np.random.Generator, share: float = 0.3) -> LabelledVoxels:
    targets = rng.random((60, 1)) < share
    return LabelledVoxels(np.zeros((60, 3), int), targets, np.arange(60) >= 40)


@pytest.mark.parametrize("judge", PROBES)
@pytest.mark.parametrize("count", [1, 3])
def test_labels_of_few_patients_are_carried_to_the_others(judge: str, count: int) -> None:
    rng = np.random.default_rng(0)
    voxels, patients = [labelled(rng) for _ in range(8)], [f"p{i}" for i in range(8)]
    noise = [rng.normal(size=(60, 4)).astype(np.float16) for _ in voxels]
    informed = [n + 4 * one.targets for n, one in zip(noise, voxels, strict=True)]
    found = probe_voxels(PROBES[judge], informed, voxels, patients, count, [0, 1])
    assert min(found["average precision"]) > 0.95
    assert min(found["balanced accuracy"]) > 0.9
    blind = np.mean(probe_voxels(PROBES[judge], noise, voxels, patients, count, range(4))["average precision"])
    assert blind < 0.45


def test_patients_to_learn_from_have_every_label() -> None:
    rng = np.random.default_rng(0)
    voxels = [labelled(rng, 0.5 if i == 4 else 0.0) for i in range(6)]
    patients = [f"p{i}" for i in range(6)]
    assert all("p4" in labelled_patients(voxels, patients, 2, draw) for draw in range(4))
    with pytest.raises(InputError, match="--patients 6: there are 6 patients"):
        labelled_patients(voxels, patients, 6, 0)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["x"] * 12, r"two classes of at least 5 patients each are needed, it has x \(12\)"),
        (["x"] * 11 + ["y"], r"x \(11\), y \(1\)"),
        ([""] * 12, "no text at all"),
    ],
)
def test_columns_without_two_classes_are_refused(texts: list[str], message: str) -> None:
    table = {case: {"grade": text} for case, text in zip(CASES, texts, strict=True)}
    with pytest.raises(InputError, match=message):
        probed_classes(table, {case: case for case in CASES}, "grade", NAME)


def test_rare_classes_and_empty_cells_are_left_out_and_counted() -> None:
    texts = ["2"] * 5 + ["3"] * 5 + ["4", ""]
    table = {case: {"grade": text} for case, text in zip(CASES, texts, strict=True)}
    found = probed_classes(table, {case: case for case in CASES}, "grade", NAME)
    assert found.names == ["2", "3"]
    assert found.rows.tolist() == list(range(10))
    assert found.left_out == {"of rare classes": 1, "empty": 1}
    with pytest.raises(InputError, match="no column 'age': there are grade"):
        probed_classes(table, {case: case for case in CASES}, "age", NAME)


def test_what_a_checkpoint_has_seen(tmp_path: Path) -> None:
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": ["a", "b"], "val": ["c"]}]))

    def seen(checkpoint: dict[str, Any]) -> tuple[int | None, bool]:
        return seen_cases(checkpoint, NAME, tmp_path, ["a", "b", "c"])

    own = {"made_by": "SSLPretrainTrainer", "dataset": NAME, "fold": 0}
    assert seen({"nnssl_plugin": {"provenance": own}}) == (2, False)
    exported = {"made_by": "nnssl_plugin export", "dataset": "Dataset002_Other", "parent": {"sha256": "0", **own}}
    assert seen({"nnssl_plugin": {"provenance": exported}}) == (2, False)
    assert seen({"nnssl_plugin": {"provenance": {**own, "fold": "all"}}}) == (3, False)
    assert seen({"nnssl_plugin": {"provenance": {**own, "dataset": "Dataset002_Other"}}}) == (None, False)
    stock = {"trainer_name": "nnUNetTrainer", "init_args": {"fold": 0, "plans": {"dataset_name": NAME}}}
    assert seen(stock) == (2, True)
    assert seen({"network_weights": {}})[0] is None


def test_checkpoints_are_named_by_what_differs(tmp_path: Path) -> None:
    files = [tmp_path / run / "fold_0" / "checkpoint_final.pth" for run in ("slem", "mae")]
    assert titles(files) == {"slem": files[0], "mae": files[1]}
    assert titles(files[:1]) == {"checkpoint_final": files[0]}
    with pytest.raises(InputError, match="twice"):
        titles([files[0], files[0]])


def prepare(folder: Path, channels: int = 3, unlabelled: bool = False, **pretraining: Any) -> Path:
    """A tiny data set with a table of classes; returns the checkpoint that `train` writes."""
    weights = {name: {"weight": float(name == "restoration")} for name in OBJECTIVES}
    settings = {
        "pretraining": {**TINY, **pretraining, "objectives": weights},
        "classification": {"columns": ["side"]},
    }
    cases = {case: {"patient": case, "missing": [], "table": {"side": "lr"[i % 2]}} for i, case in enumerate(CASES)}
    own = {"unlabelled": unlabelled, "cases": cases}
    write_dataset(folder, make_plans(settings, channels=channels), cases=12, channels=channels, nnssl_plugin=own)
    return folder / "nnUNet_results" / NAME / "SSLPretrainTrainer__Tiny__2d" / "fold_all" / "checkpoint_final.pth"


def train() -> None:
    run_training(NAME, "2d", "all", "SSLPretrainTrainer", "Tiny", device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def environment(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    monkeypatch.setattr(probe_module, "DRAWS", range(2))
    monkeypatch.setattr(probe_module, "UNTRAINED_SEEDS", range(1))
    torch.set_num_threads(1)
    return nnunet_folders


def test_a_probed_run_is_the_same_run_and_the_command_judges_it(
    environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = prepare(environment)
    train()
    plain = torch.load(checkpoint, weights_only=True)["network_weights"]
    assert not (checkpoint.parent / "probe.json").exists()
    checkpoint = prepare(environment, probe=[1, 2])
    checkpoint.unlink()
    train()
    probed = torch.load(checkpoint, weights_only=True)["network_weights"]
    assert all(torch.equal(plain[name], probed[name]) for name in plain), "labels and judges left no trace"
    kept = json.loads((checkpoint.parent / "probe.json").read_text(encoding="utf-8"))
    assert list(kept["epochs"]) == ["1", "2"]
    assert {row["task"] for row in kept["epochs"]["2"]} == {"side", "segmentation labels"}
    assert "Probe" in (checkpoint.parent / "validation" / "report.html").read_text(encoding="utf-8")

    arguments = [str(checkpoint), "-d", NAME, "-p", "Tiny", "-c", "2d", "-o", str(tmp_path / "out")]
    assert main(["probe", *arguments, "--columns", "side", "--segmentation"]) == 0
    printed = capsys.readouterr().out
    assert "12 of the 12 probed cases, without labels" in printed
    result = json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))
    rows = {(row["task"], row["network"], row["judge"]): row["scores"] for row in result["rows"]}
    assert rows["side", "majority class", ""]["accuracy"]["mean"] == 0.5
    # Labels of the tiny data set are a threshold of the first modality, which intensities tell.
    assert rows["segmentation labels", "intensities", "linear"]["average precision"]["mean"] > 0.95
    assert rows["segmentation labels", "chance", ""]["average precision"]["mean"] < 0.5
    assert len(rows["segmentation labels", "checkpoint_final", "linear"]["average precision"]["draws"]) == 2
    again = {(row["task"], row["judge"]): row["scores"] for row in kept["epochs"]["2"]}
    for key, scores in again.items():
        for name, score in scores.items():
            assert score["draws"] == pytest.approx(rows[key[0], "checkpoint_final", key[1]][name]["draws"])
    assert "data:image/png" in (tmp_path / "out" / "probe.html").read_text(encoding="utf-8")


def test_mistakes_are_named_before_any_work(
    environment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = prepare(environment, epochs=1)
    train()

    def refused(*more: str, configuration: str = "2d") -> str:
        out = tmp_path / "out"
        assert (
            main(["probe", str(checkpoint), "-d", NAME, "-p", "Tiny", "-c", configuration, "-o", str(out), *more]) == 2
        )
        assert not out.exists()
        return capsys.readouterr().err

    assert "say what to probe" in refused()
    assert "no column 'grade': there are side" in refused("--columns", "grade")
    assert "--patients 12: there are 12 patients" in refused("--segmentation", "--patients", "12")
    assert "describe a plain 3d one" in refused("--segmentation", configuration="3d_fullres")
    prepare(environment, channels=2)
    assert "nnssl_plugin export" in refused("--columns", "side")
    prepare(environment, unlabelled=True)
    assert "placeholders" in refused("--segmentation")


def test_a_run_that_cannot_be_probed_does_not_start(environment: Path) -> None:
    prepare(environment, probe=[3])
    with pytest.raises(InputError, match=r"pretraining\.probe \[3\] names epochs that a run of 2"):
        train()
    prepare(environment, probe=[1], unlabelled=True)
    plans = environment / "nnUNet_preprocessed" / NAME / "Tiny.json"
    content = json.loads(plans.read_text(encoding="utf-8"))
    content["nnssl_plugin"]["classification"]["columns"] = []
    plans.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="has no labels, so name columns"):
        train()
