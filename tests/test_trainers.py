"""The trainers inside the real nnU-Net, on a tiny preprocessed data set."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint, run_training
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name
from torch.nn.modules.conv import _ConvNd

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import KEY
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.planning.fused_network import with_contextual_fusion
from nnssl_plugin.pretraining.skipped_steps import GRADIENT_NORM, step_if_finite
from nnssl_plugin.settings.presets import PRESETS
from nnssl_plugin.training.run_record import RECORD
from tests.synthetic import MODALITIES, NAME, brain, make_plans, write_dataset

TINY = {"epochs": 2, "iterations_per_epoch": 2, "validation_iterations": 2, "save_every": 1, "seed": 3}
# Objectives of both kinds of patches, with and without the decoder.
FULL = {name: {"weight": weight} for name, weight in PRESETS["full"].items()}
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def environment(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    return nnunet_folders


def prepare(
    folder: Path,
    residual: bool = False,
    channels: int = 4,
    pretraining: Any = None,
    finetuning: Any = None,
    **extra: Any,
) -> Path:
    """Write the data set with its plans and return the results folder of the data set."""
    own = dict(pretraining or {})
    objectives = {name: {**FULL.get(name, {}), **own.get("objectives", {}).get(name, {})} for name in OBJECTIVES}
    own = {**TINY, **own, "objectives": objectives}
    settings = {"pretraining": own, "finetuning": {**TINY, **(finetuning or {})}}
    write_dataset(folder, make_plans(settings, residual, channels), channels=channels, **extra)
    return folder / "nnUNet_results" / NAME


def pretrain(configuration: str = "3d_fullres", fold: int | str = 0, **options: Any) -> None:
    run_training(NAME, configuration, fold, "SSLPretrainTrainer", "Tiny", device=CPU, **options)


def output(
    results: Path, trainer: str = "SSLPretrainTrainer", configuration: str = "3d_fullres", fold: int | str = 0
) -> Path:
    return results / f"{trainer}__Tiny__{configuration}" / f"fold_{fold}"


def checkpoint(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return loaded


@pytest.mark.parametrize(
    "name", ["SSLPretrainTrainer", "SSLFinetuneTrainer", "SSLFinetuneSawtoothTrainer", "SSLScratchTrainer"]
)
def test_nnunet_finds_the_trainers(name: str) -> None:
    found = recursive_find_trainer_class_by_name(name)
    assert found.__name__ == name
    assert issubclass(found, nnUNetTrainer)


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
@pytest.mark.parametrize("residual", [False, True])
def test_stock_nnunet_loads_the_pretrained_weights(environment: Path, configuration: str, residual: bool) -> None:
    results = prepare(environment, residual, pretraining={"epochs": 1})
    pretrain(configuration)
    file = output(results, configuration=configuration) / "checkpoint_final.pth"
    stock = get_trainer_from_args(NAME, configuration, 0, "nnUNetTrainer", "Tiny", device=CPU)
    maybe_load_checkpoint(stock, False, False, str(file))
    loaded, saved = stock.network.state_dict(), checkpoint(file)["network_weights"]
    assert set(loaded) == set(saved), "the complete stock network, no more and no less"
    for key, value in loaded.items():
        assert saved[key].device == CPU
        assert saved[key].shape == value.shape
        if ".seg_layers." not in key:
            assert torch.equal(saved[key], value)
    plan = checkpoint(file)["nnssl_adaptation_plan"]
    assert plan["key_to_encoder"] == "encoder.stages"
    assert (plan["pretrain_num_input_channels"], plan["architecture_plans"]["arch_class_name"]) == (
        4,
        stock.configuration_manager.network_arch_class_name,
    )
    record = checkpoint(file)["nnssl_plugin"]["provenance"]
    assert record["channel_names"] == ["T1", "T1c", "T2", "FLAIR"]
    assert (record["epochs"], set(record["objectives"])) == (1, {"slem", "contrastive", "restoration"})
    assert any("SLeM" in paper for entry in checkpoint(file)["citations"] for paper in entry["apa_citations"])
    fresh = get_trainer_from_args(NAME, configuration, 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    fresh.initialize()
    before = fresh.network.state_dict()
    for part in ("encoder.", "decoder.stages.", "decoder.transpconvs."):
        keys = [key for key in saved if key.startswith(part) and key.endswith("weight")]
        assert any(not torch.equal(before[key], saved[key]) for key in keys), f"{part} was trained"


def test_pretraining_needs_no_label_and_shares_no_case_or_path(environment: Path) -> None:
    results = prepare(
        environment,
        dataset={"case00": {"images": ["/secret/case00.nii.gz"], "label": "/secret/x"}},
        training=[{"image": "/secret/case00.nii.gz"}],
        nnssl_plugin={"unlabelled": False, "cases": {"case00": {"patient": "secret person", "missing": []}}},
    )
    preprocessed = environment / "nnUNet_preprocessed" / NAME
    for file in [*preprocessed.rglob("*_seg.b2nd"), *preprocessed.rglob("*.pkl")]:
        file.unlink()
    pretrain()
    folder = output(results)
    content = (folder / "checkpoint_final.pth").read_bytes()
    for secret in (b"case00", b"secret", str(environment).encode()):
        assert secret not in content
    summary = json.loads((folder / "validation" / "summary.json").read_text(encoding="utf-8"))
    for name in (
        "slem/accuracy",
        "slem/accuracy_chance",
        "contrastive/retrieval",
        "contrastive/uniformity",
        "restoration/hidden_error",
    ):
        assert np.isfinite(summary["mean"][name])
    assert summary["effective_rank"] > 0
    assert {file.name for file in (folder / "validation").glob("*.png")} == {
        "slem.png",
        "contrastive.png",
        "restoration.png",
        "denormalization.png",
        "embedding.png",
    }
    page = (folder / "validation" / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") == 6, "curves, three objectives, denormalisation, features"
    assert "http" not in page
    assert "slem/histogram_block_accuracy" in page
    assert (folder / "progress.png").stat().st_size > 0
    assert not [*folder.rglob("*.part"), *folder.rglob("*.unfinished")]


def test_only_training_cases_of_the_fold_and_of_further_data_sets(environment: Path) -> None:
    prepare(environment, pretraining={"datasets": ["Dataset902_More"]})
    patients = {"case10": {"patient": "case04", "missing": []}}
    write_dataset(
        environment,
        make_plans(),
        cases=3,
        name="Dataset902_More",
        first=10,
        nnssl_plugin={"unlabelled": True, "cases": patients},
    )
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    # case04 and case05 validate fold 0; case10 is another session of case04's patient.
    seen = ["case00", "case01", "case02", "case03", "case11", "case12"]
    assert [record.case for record in trainer.cohort] == seen
    trainer = get_trainer_from_args(NAME, "3d_fullres", "all", "SSLPretrainTrainer", "Tiny", device=CPU)
    assert len(trainer.cohort) == 9
    # Equal names in two cohorts are not one patient: nobody said so.
    write_dataset(environment, make_plans(), cases=3, name="Dataset902_More", first=3)
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    assert [record.case for record in trainer.cohort] == [*seen[:4], "case03", "case04", "case05"]
    assert len({record.patient for record in trainer.cohort}) == 7


def test_a_constant_channel_counts_as_missing_and_is_said_once(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 1})
    image = brain(0)
    image[2] = 3.0
    folder = environment / "nnUNet_preprocessed" / NAME / "nnUNetPlans_3d"
    for file in folder.glob("case00*"):
        file.unlink()
    size = image.shape
    nnUNetDatasetBlosc2.save_case(
        image,
        image[:1].astype(np.int16),
        {},
        str(folder / "case00"),
        size,
        (1, 8, 24, 24),
        (1, *size[1:]),
        (1, 8, 24, 24),
    )
    pretrain()
    log = next(output(results).glob("training_log*.txt")).read_text(encoding="utf-8")
    assert log.count("1 constant images are treated as missing modalities: case00 T2") == 1


def test_further_data_set_must_be_preprocessed_alike(environment: Path) -> None:
    prepare(environment, pretraining={"datasets": ["Dataset902_More"]})
    other = make_plans()
    other["configurations"]["3d_fullres"]["spacing"] = [2.0, 1.0, 1.0]
    write_dataset(environment, other, cases=3, name="Dataset902_More", first=10)
    with pytest.raises(InputError, match=r"Dataset902_More was preprocessed differently.*spacing \[2\.0.*align"):
        _ = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU).cohort


def test_seeded_runs_repeat_and_a_resumed_one_equals_an_uninterrupted_one(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 3})
    pretrain()
    folder = output(results)
    whole = checkpoint(folder / "checkpoint_final.pth")
    for file in folder.glob("*.pth"):
        file.unlink()
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    stop_after(trainer, epochs=2)
    assert {file.name for file in folder.glob("*.pth")} == {"checkpoint_best.pth", "checkpoint_latest.pth"}
    pretrain(continue_training=True)
    resumed = checkpoint(folder / "checkpoint_final.pth")
    assert resumed["current_epoch"] == whole["current_epoch"] == 3
    for key, value in whole["network_weights"].items():
        assert torch.equal(value, resumed["network_weights"][key]), key
    for key, value in whole["nnssl_plugin"]["heads"].items():
        assert torch.equal(value, resumed["nnssl_plugin"]["heads"][key]), key
    assert whole["logging"]["train_losses"] == resumed["logging"]["train_losses"]


def stop_after(trainer: Any, epochs: int) -> None:
    """Run a trainer and stop it, as a kill would, in the middle of the epoch that follows `epochs`."""
    original: Callable[[dict], dict] = trainer.train_step

    def step(batch: dict) -> dict:
        if trainer.current_epoch == epochs:
            raise KeyboardInterrupt
        return original(batch)

    trainer.train_step = step
    with pytest.raises(KeyboardInterrupt):
        trainer.run_training()


def test_killed_in_mid_epoch_and_continued_with_the_real_command(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 3, "iterations_per_epoch": 25})
    command = [
        Path(sys.executable).parent / "nnUNetv2_train",
        NAME,
        "3d_fullres",
        "0",
        "-tr",
        "SSLPretrainTrainer",
        "-p",
        "Tiny",
        "-device",
        "cpu",
    ]
    latest = output(results) / "checkpoint_latest.pth"
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.time() + 300
    while not latest.is_file() and time.time() < deadline:
        time.sleep(0.1)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint(latest)["current_epoch"] == 1
    assert not latest.with_name("checkpoint_final.pth").exists()
    done = subprocess.run([*command, "--c"], capture_output=True, encoding="utf-8", check=True)
    assert "Epoch 1" in done.stdout
    assert "Epoch 0\n" not in done.stdout
    assert checkpoint(latest.with_name("checkpoint_final.pth"))["current_epoch"] == 3


def test_checkpoints_are_kept_after_the_stated_epochs(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 3, "keep": [1, 2]})
    pretrain()
    kept = {file.name: checkpoint(file)["current_epoch"] for file in output(results).glob("checkpoint_epoch_*.pth")}
    assert kept == {"checkpoint_epoch_1.pth": 1, "checkpoint_epoch_2.pth": 2}
    # Weights of that moment, not of the end.
    first, last = (checkpoint(output(results) / name) for name in ("checkpoint_epoch_1.pth", "checkpoint_final.pth"))
    key = "encoder.stages.0.0.convs.0.conv.weight"
    assert not torch.equal(first["network_weights"][key], last["network_weights"][key])


def test_interrupted_write_leaves_the_previous_checkpoint(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = prepare(environment)
    pretrain()
    final = output(results) / "checkpoint_final.pth"
    before = final.read_bytes()
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    trainer.initialize()

    def die(_: Any, stream: Any) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(KeyboardInterrupt):
        trainer.save_checkpoint(str(final))
    assert final.read_bytes() == before


def test_val_and_val_best_measure_again(environment: Path) -> None:
    alone = {name: {"weight": 0} for name in FULL if name != "restoration"}
    results = prepare(environment, pretraining={"objectives": alone})
    pretrain()
    summary = output(results) / "validation" / "summary.json"
    # Nobody sees denormalised images, so none is shown.
    assert {file.name for file in summary.parent.glob("*.png")} == {"restoration.png", "embedding.png"}
    first = json.loads(summary.read_text(encoding="utf-8"))
    summary.unlink()
    pretrain(only_run_validation=True)
    assert json.loads(summary.read_text(encoding="utf-8")) == first, "the figures repeat"
    best = output(results) / "checkpoint_best.pth"
    changed = checkpoint(best)
    changed["network_weights"] = {key: value * 0.5 for key, value in changed["network_weights"].items()}
    torch.save(changed, best)
    pretrain(only_run_validation=True, val_with_best=True)
    assert json.loads(summary.read_text(encoding="utf-8"))["mean"] != first["mean"]


def test_disable_checkpointing_writes_none(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 1})
    pretrain(disable_checkpointing=True)
    assert not list(results.rglob("*.pth*"))
    assert (output(results) / "validation" / "summary.json").is_file()


def test_finished_run_of_other_settings_is_not_overwritten(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 1})
    pretrain()
    before = (output(results) / "checkpoint_final.pth").stat().st_mtime_ns
    prepare(environment, pretraining={"epochs": 1, "initial_lr": 0.5})
    with pytest.raises(InputError, match="finished run that differs in initial_lr "):
        pretrain()
    with pytest.raises(InputError, match=r"made with other settings \(initial_lr\)"):
        pretrain(continue_training=True)
    assert (output(results) / "checkpoint_final.pth").stat().st_mtime_ns == before


def test_finished_run_of_another_patch_size_or_other_cases_is_not_overwritten(environment: Path) -> None:
    prepare(environment, pretraining={"epochs": 1})
    pretrain()
    preprocessed = environment / "nnUNet_preprocessed" / NAME
    file = preprocessed / "Tiny.json"
    plans = json.loads(file.read_text(encoding="utf-8"))
    plans["configurations"]["3d_fullres"]["batch_size"] = 3
    file.write_text(json.dumps(plans))
    with pytest.raises(InputError, match=r"differs in configuration\.batch_size "):
        pretrain()
    plans["configurations"]["3d_fullres"]["batch_size"] = 2
    file.write_text(json.dumps(plans))
    (preprocessed / "splits_final.json").write_text(json.dumps([{"train": ["case00", "case01"], "val": ["case05"]}]))
    with pytest.raises(InputError, match="differs in training cases "):
        pretrain()


def test_best_is_the_checkpoint_with_the_lowest_moving_average(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 3})
    pretrain()
    final = checkpoint(output(results) / "checkpoint_final.pth")
    averages = final["logging"]["ema_val_losses"]
    losses = final["logging"]["val_losses"]
    assert averages == pytest.approx(
        [losses[0], 0.9 * losses[0] + 0.1 * losses[1], 0.9 * (0.9 * losses[0] + 0.1 * losses[1]) + 0.1 * losses[2]]
    )
    best = checkpoint(output(results) / "checkpoint_best.pth")
    assert best["current_epoch"] - 1 == int(np.argmin(averages))
    assert "lower is better" in best["nnssl_plugin"]["best_measure"]


def test_an_epoch_without_a_finite_loss_does_not_decide_which_is_best(environment: Path) -> None:
    prepare(environment)
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    trainer.initialize()
    for epoch, loss in enumerate((np.nan, 2.0, np.nan, 1.0)):
        trainer.current_epoch = epoch
        trainer.on_validation_epoch_end([{"loss": torch.tensor(loss)}])
    averages = trainer.logger.get_value("ema_val_losses", step=None)
    assert averages == pytest.approx([np.nan, 2, 2, 1.9], nan_ok=True)


def test_mirroring_can_be_switched_off(environment: Path) -> None:
    prepare(environment, pretraining={"mirroring": False})
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    trainer.initialize()
    for sampler in trainer.make_loader(augment=True).samplers.values():
        assert not [t for t in sampler.augmentation.spatial.transforms if isinstance(t, MirrorTransform)]


def test_heads_of_another_version_are_said(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 1})
    pretrain()
    file = output(results) / "checkpoint_final.pth"
    saved = checkpoint(file)
    saved["nnssl_plugin"]["heads"].popitem()
    torch.save(saved, file)
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    with pytest.raises(InputError, match="the heads or the optimiser of this checkpoint are not those of nnssl_plugin"):
        trainer.load_checkpoint(str(file))


def test_one_modality_pretrains_with_what_works_there(environment: Path) -> None:
    objectives = {
        "slem": {"weight": 0},
        "contrastive": {"weight": 1, "pairs": "same"},
        "local_contrastive": {"weight": 1, "pairs": "same", "locations": 16},
    }
    results = prepare(environment, channels=1, pretraining={"objectives": objectives})
    pretrain()
    summary = json.loads((output(results) / "validation" / "summary.json").read_text(encoding="utf-8"))["mean"]
    assert np.isfinite([summary[f"{name}/info_nce"] for name in ("contrastive", "local_contrastive")]).all()
    assert np.isfinite(summary["restoration/squared_error"])
    # What is measured on are two different images of the modality: one alone would be found by any network.
    assert summary["contrastive/alignment"] > 1e-6


def test_too_few_patients_to_compare_are_said(environment: Path) -> None:
    results = prepare(environment)
    file = environment / "nnUNet_preprocessed" / NAME / "dataset.json"
    recorded = json.loads(file.read_text(encoding="utf-8"))
    cases = {path.stem: {"patient": "one"} for path in (file.parent / "nnUNetPlans_3d").glob("*.b2nd")}
    file.write_text(json.dumps({**recorded, KEY: {"cases": cases}}))
    with pytest.raises(InputError, match=r"1 patients .* the objective contrastive needs 2 .*contrastive\.weight=0"):
        pretrain(fold="all")
    assert not list(output(results, fold="all").glob("*.pth"))


def test_fused_network_is_pretrained_whole_and_loads_with_stock_nnunet(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 1})
    file = environment / "nnUNet_preprocessed" / NAME / "Tiny.json"
    file.write_text(json.dumps(with_contextual_fusion(json.loads(file.read_text(encoding="utf-8")))))
    pretrain()
    saved = output(results) / "checkpoint_final.pth"
    stock = get_trainer_from_args(NAME, "3d_fullres", 0, "nnUNetTrainer", "Tiny", device=CPU)
    stock.initialize()
    maybe_load_checkpoint(stock, False, False, str(saved))
    weights = checkpoint(saved)["network_weights"]
    assert torch.equal(stock.network.fusion.fuse[0].weight, weights["fusion.fuse.0.weight"])
    fresh = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    fresh.initialize()
    for name, start in fresh.network.fusion.named_parameters():
        # Weight decay alone changes a weight by 1e-5 of itself, a step of AdamW by about 1e-3.
        assert (weights[f"fusion.{name}"] - start).abs().max() > 1e-4, f"{name} is trained"


def test_stock_nnunet_trains_and_predicts_with_a_fused_network(environment: Path) -> None:
    prepare(environment)
    file = environment / "nnUNet_preprocessed" / NAME / "Tiny.json"
    file.write_text(json.dumps(with_contextual_fusion(json.loads(file.read_text(encoding="utf-8")))))
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "nnUNetTrainer", "Tiny", device=CPU)
    trainer.num_epochs = trainer.num_iterations_per_epoch = trainer.num_val_iterations_per_epoch = 1
    trainer.run_training()
    assert abs(trainer.network.fusion.gain.item() - 0.1) > 1e-6, "more than weight decay changes it by"
    predictor = nnUNetPredictor(device=CPU, perform_everything_on_device=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(Path(trainer.output_folder).parent), (0,))
    logits = predictor.predict_logits_from_preprocessed_data(torch.from_numpy(brain(5, len(MODALITIES))))
    assert logits.shape[0] == trainer.label_manager.num_segmentation_heads
    assert torch.isfinite(logits).all()


def test_steps_with_a_non_finite_loss_change_nothing_and_stop_the_run_when_they_persist(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = prepare(environment, pretraining={"epochs": 2, "save_every": 1})
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    trainer.initialize()
    steps = 0
    step = trainer.train_step
    changed = []

    def watched(batch: dict[str, Any]) -> Any:
        before = [value.clone() for value in trainer.step.network.state_dict().values()]
        values = step(batch)
        after = trainer.step.network.state_dict().values()
        changed.append(not all(map(torch.equal, before, after)))
        return values

    def sometimes(head: Any, _: Any, result: Any) -> None:
        nonlocal steps
        if head.training:
            steps += 1
            # One bad step in the first epoch, nothing else in the second.
            if steps == 1 or trainer.current_epoch == 1:
                result.loss = result.loss * torch.nan

    trainer.step.network.objectives["slem"].register_forward_hook(sometimes)
    monkeypatch.setattr(trainer, "train_step", watched)
    with pytest.raises(
        RuntimeError, match=r"epoch 1, 2 of 2 steps: loss .* not finite \(slem in 2\); .*checkpoint_latest\.pth is from"
    ):
        trainer.run_training()
    log = next(output(results).glob("training_log*.txt")).read_text(encoding="utf-8")
    assert "skipped 1 of 2 steps" in log
    assert changed == [False, True, False, False]
    assert all(torch.isfinite(value).all() for value in trainer.network.state_dict().values())
    assert np.isfinite(checkpoint(output(results) / "checkpoint_latest.pth")["logging"]["train_losses"]).all()


# ------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("pretraining", "channels", "message"),
    [
        ({}, 1, r"1 modality \(T1\).*objective slem needs 2.*restoration.*pairs=same"),
        ({"epoch": 3}, 4, r"unknown setting 'pretraining\.epoch'.*'pretraining\.epochs'"),
        (
            {"objectives": {name: {"weight": 0} for name in OBJECTIVES}},
            4,
            "every objective has weight 0",
        ),
        ({"keep": [1, 5]}, 4, r"keep \[1, 5\] names epochs that a run of 2 "),
        ({"crop_size": [9, 16, 16]}, 4, r"crop_size \[9, 16, 16\].*nearest"),
        ({"objectives": {"slem": {"label_space": "injective"}}}, 3, "the data set has 3. Use 'product'"),
        (
            {"objectives": {"local_contrastive": {"weight": 1, "depths": [7]}}},
            4,
            r"local_contrastive\.depths \[7\]: different ones from 0 \(bottleneck\) to 2",
        ),
    ],
)
def test_bad_settings_stop_before_any_work(environment: Path, pretraining: dict, channels: int, message: str) -> None:
    results = prepare(environment, channels=channels, pretraining=pretraining)
    with pytest.raises(InputError, match=message):
        pretrain()
    assert not any(results.rglob("*"))


def test_a_modality_that_is_recorded_as_missing_but_there_is_named(environment: Path) -> None:
    prepare(environment)
    file = environment / "nnUNet_preprocessed" / NAME / "dataset.json"
    recorded = json.loads(file.read_text(encoding="utf-8"))
    recorded.setdefault(KEY, {}).setdefault("cases", {})["case01"] = {"missing": ["T2"]}
    file.write_text(json.dumps(recorded))
    with pytest.raises(InputError, match="case case01: T2 is recorded as missing, but the preprocessed image has it"):
        pretrain()


def test_no_environment_is_said_before_anything_is_made(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(environment)
    plans = make_plans()
    monkeypatch.delenv("nnUNet_results")
    found = recursive_find_trainer_class_by_name("SSLPretrainTrainer")
    with pytest.raises(InputError, match="nnUNet_results is not set"):
        found({**plans, "continue_training": False}, "3d_fullres", 0, {}, CPU)
    assert not any((environment / "nnUNet_results").iterdir())


def test_plans_of_another_data_set_are_refused(environment: Path) -> None:
    prepare(environment)
    write_dataset(environment, make_plans(), cases=2, name="Dataset902_More", first=10)
    file = environment / "nnUNet_preprocessed" / "Dataset902_More" / "Tiny.json"
    file.write_text(json.dumps(make_plans()))
    with pytest.raises(InputError, match=f"belongs to {NAME}"):
        run_training("Dataset902_More", "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)


def test_cascade_is_refused(environment: Path) -> None:
    prepare(environment)
    file = environment / "nnUNet_preprocessed" / NAME / "Tiny.json"
    plans = json.loads(file.read_text(encoding="utf-8"))
    plans["configurations"]["3d_fullres"]["previous_stage"] = "2d"
    file.write_text(json.dumps(plans))
    with pytest.raises(InputError, match="cascade"):
        pretrain()
    assert not any((environment / "nnUNet_results").iterdir())


def test_nnunet_outside_the_tested_range_is_said(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(environment)
    monkeypatch.setattr("nnssl_plugin.nnunet.environment.version", lambda _: "2.5.1")
    with pytest.raises(InputError, match=r">= 2\.8, < 2\.9; installed is 2\.5\.1"):
        pretrain()
    monkeypatch.setattr("nnssl_plugin.nnunet.environment.version", lambda _: "3.0")
    with pytest.warns(UserWarning, match=r"installed is 3\.0"):
        get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)


# ----------------------------------------------- fine-tuning and its control


def finetuner(name: str = "SSLFinetuneTrainer") -> Any:
    return get_trainer_from_args(NAME, "3d_fullres", 0, name, "Tiny", device=CPU)


def test_finetuning_starts_from_the_weights_and_shares_no_case(environment: Path) -> None:
    results = prepare(environment, dataset={"case00": {"images": ["/secret/a"], "label": "/secret/x"}})
    pretrain()
    weights = output(results) / "checkpoint_final.pth"
    trainer = finetuner()
    maybe_load_checkpoint(trainer, False, False, str(weights))
    saved = checkpoint(weights)["network_weights"]
    assert all(torch.equal(v, saved[k]) for k, v in trainer.network.state_dict().items() if ".seg_layers." not in k)
    trainer.run_training()
    folder = output(results, "SSLFinetuneTrainer")
    assert checkpoint(folder / "checkpoint_final.pth")["current_epoch"] == TINY["epochs"]
    assert b"/secret" not in (folder / "checkpoint_final.pth").read_bytes()
    assert not list(folder.glob("*.part"))


def test_finetuning_without_weights_and_scratch_with_weights_are_refused(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 1})
    with pytest.raises(InputError, match="started without weights"):
        finetuner().run_training()
    pretrain()
    weights = str(output(results) / "checkpoint_final.pth")
    scratch = finetuner("SSLScratchTrainer")
    maybe_load_checkpoint(scratch, False, False, weights)
    with pytest.raises(InputError, match="it is the control that has none"):
        scratch.run_training()


def test_finetuning_from_other_weights_does_not_overwrite(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 1}, finetuning={"epochs": 1})
    pretrain()
    weights = output(results) / "checkpoint_final.pth"
    trainer = finetuner()
    maybe_load_checkpoint(trainer, False, False, str(weights))
    trainer.run_training()
    other = checkpoint(weights)
    other["network_weights"] = {key: value + 0.1 for key, value in other["network_weights"].items()}
    torch.save(other, weights)
    again = finetuner()
    maybe_load_checkpoint(again, False, False, str(weights))
    with pytest.raises(InputError, match="differs in initial_weights "):
        again.run_training()


def test_scratch_resumes_and_unlabelled_data_are_refused(environment: Path) -> None:
    prepare(environment, finetuning={"epochs": 3})
    stop_after(finetuner("SSLScratchTrainer"), epochs=1)
    resumed = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLScratchTrainer", "Tiny", True, device=CPU)
    maybe_load_checkpoint(resumed, True, False)
    assert resumed.current_epoch == 1
    resumed.run_training()
    prepare(environment, nnssl_plugin={"unlabelled": True})
    for name in ("SSLFinetuneTrainer", "SSLScratchTrainer"):
        with pytest.raises(InputError, match="is unlabelled"):
            finetuner(name)


def test_finetuning_is_not_resumed_with_other_settings(environment: Path) -> None:
    prepare(environment, finetuning={"epochs": 3})
    stop_after(finetuner("SSLScratchTrainer"), epochs=1)
    file = environment / "nnUNet_preprocessed" / NAME / "Tiny.json"
    plans = json.loads(file.read_text(encoding="utf-8"))
    plans["nnssl_plugin"]["finetuning"]["scratch_initial_lr"] = 0.5
    file.write_text(json.dumps(plans))
    with pytest.raises(InputError, match=r"other settings \(scratch_initial_lr\)"):
        maybe_load_checkpoint(finetuner("SSLScratchTrainer"), True, False)


def pretrainer(fold: int | str = 0, **options: Any) -> Any:
    return get_trainer_from_args(NAME, "3d_fullres", fold, "SSLPretrainTrainer", "Tiny", device=CPU, **options)


def test_pretraining_that_starts_from_weights_says_from_which(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 3})
    pretrain(fold="all")
    weights = output(results, fold="all") / "checkpoint_final.pth"
    saved = checkpoint(weights)
    assert initial_weights(saved) == {"none"}
    trainer = pretrainer()
    maybe_load_checkpoint(trainer, False, False, str(weights))
    loaded = trainer.network.encoder.state_dict()
    assert all(torch.equal(value, saved["network_weights"][f"encoder.{key}"]) for key, value in loaded.items())
    stop_after(trainer, epochs=1)
    made_of = saved["nnssl_plugin"]["provenance"]["encoder_sha256"]
    assert initial_weights(checkpoint(output(results) / "checkpoint_latest.pth")) == {made_of}
    # A resumed run has them from its checkpoint.
    pretrain(continue_training=True)
    final = output(results) / "checkpoint_final.pth"
    assert checkpoint(final)["current_epoch"] == 3
    assert initial_weights(checkpoint(final)) == {made_of}
    before = final.read_bytes()
    # Neither none nor others take the place of a run that began with these.
    with pytest.raises(InputError, match="finished run that differs in initial_weights "):
        pretrain()
    other = {**saved, "network_weights": {key: value + 0.1 for key, value in saved["network_weights"].items()}}
    torch.save(other, weights)
    again = pretrainer()
    maybe_load_checkpoint(again, False, False, str(weights))
    with pytest.raises(InputError, match="finished run that differs in initial_weights "):
        again.run_training()
    assert final.read_bytes() == before


def initial_weights(saved: dict[str, Any]) -> set[str]:
    return {saved["init_args"][RECORD]["initial_weights"], saved["nnssl_plugin"]["provenance"]["initial_weights"]}


@pytest.mark.slow
def test_the_same_weights_may_train_again(environment: Path) -> None:
    results = prepare(environment, pretraining={"epochs": 1})
    pretrain(fold="all")
    for _ in range(2):
        pretrain(pretrained_weights=str(output(results, fold="all") / "checkpoint_final.pth"))
    assert "none" not in initial_weights(checkpoint(output(results) / "checkpoint_final.pth"))


def test_norms_and_biases_do_not_decay_and_every_group_is_clipped(environment: Path) -> None:
    prepare(environment, pretraining={"weight_decay": 0.3})
    trainer = pretrainer()
    trainer.initialize()
    network, groups = trainer.step.network, trainer.optimizer.param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert set(decays) == {id(p) for p in trained.values()}
    kernels = {id(m.weight) for m in network.modules() if isinstance(m, torch.nn.Linear | _ConvNd)}
    for name, parameter in trained.items():
        assert decays[id(parameter)] == (0.3 if id(parameter) in kernels else 0), name
    assert len(groups) == 2
    for parameter in trained.values():
        parameter.grad = None
    # A loss with a huge gradient of every parameter: after clipping, no group's norm is more than the limit.
    step_if_finite(sum((1e3 * p).sum() for p in trained.values()), trainer.optimizer, trainer.step.scaler)  # type: ignore[arg-type]
    norms = [torch.stack([p.grad.norm() for p in group["params"]]).norm() for group in groups]
    assert torch.stack(norms).norm().item() == pytest.approx(GRADIENT_NORM, rel=1e-4)
    assert all(0 < norm < GRADIENT_NORM for norm in norms)
