"""Fine-tuning inside the real nnU-Net, on a tiny preprocessed data set: schedules, resuming, labels, inference."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.description import describe
from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.parameter_groups import DECODER, ENCODER, SEGMENTATION, parts_of
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.planning.fused_network import with_contextual_fusion
from tests.synthetic import MODALITIES, NAME, brain, make_plans, write_dataset

CPU = torch.device("cpu")
TINY = {"epochs": 6, "iterations_per_epoch": 1, "validation_iterations": 1, "save_every": 1, "seed": 3}
PATIENTS = {f"case{i:02d}": {"patient": f"p{i // 2}", "missing": []} for i in range(6)}


@pytest.fixture
def folder(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    return nnunet_folders


def prepare(folder: Path, **finetuning: Any) -> None:
    plans = make_plans({"finetuning": {**TINY, **finetuning}})
    write_dataset(folder, plans, nnssl_plugin={"unlabelled": False, "cases": PATIENTS})


def trainer(name: str, resume: bool = False) -> Any:
    found = get_trainer_from_args(NAME, "3d_fullres", 0, name, "Tiny", resume, device=CPU)
    # Drawing takes longer than an epoch of this size.
    found.logger.plot_progress_png = lambda folder: None
    return found


def weights_file(folder: Path) -> Path:
    """Other weights than a trainer would start from, as a pre-training would leave them."""
    stock = trainer("nnUNetTrainer")
    torch.manual_seed(11)
    stock.initialize()
    torch.save({"network_weights": stock.network.state_dict()}, folder / "weights.pth")
    return folder / "weights.pth"


def started(name: str, weights: Path) -> Any:
    found = trainer(name)
    maybe_load_checkpoint(found, False, False, str(weights))
    return found


def trainer_of(name: str) -> Any:
    found = trainer(name)
    found.initialize()
    return found


def by_step(name: str) -> list[dict[str, float]]:
    """Learning rate of each part in every step of a run, as the optimiser is told them."""
    found = trainer_of(name)
    rates = []
    for step in range(found.steps):
        found.lr_scheduler.set_rates(step)
        rates.append({group["name"]: group["lr"] for group in found.optimizer.param_groups})
    return rates


def traced(found: Any, stop: int | None = None) -> list[tuple[int, dict[str, float], set[str]]]:
    """Run a trainer; per epoch: its learning rates by part, and the parts that did not change.

    `stop`: the epoch in whose middle it is stopped, as a kill would.
    """
    trace: list[tuple[int, dict[str, float], set[str]]] = []
    before: dict[str, list[torch.Tensor]] = {}
    start, end, step = found.on_train_epoch_start, found.on_train_epoch_end, found.train_step

    def on_start() -> None:
        start()
        before.update({name: [p.detach().clone() for p in parts] for name, parts in parts_of(found.network).items()})

    def on_end(outputs: list[dict]) -> None:
        rates = {group["name"]: group["lr"] for group in found.optimizer.param_groups}
        frozen = {
            name
            for name, parameters in parts_of(found.network).items()
            if all(torch.equal(p, old) for p, old in zip(parameters, before[name], strict=True))
        }
        trace.append((found.current_epoch, rates, frozen))
        end(outputs)

    def train_step(batch: dict) -> dict:
        if found.current_epoch == stop:
            raise KeyboardInterrupt
        return step(batch)

    found.on_train_epoch_start, found.on_train_epoch_end, found.train_step = on_start, on_end, train_step
    if stop is None:
        found.run_training()
    else:
        with pytest.raises(KeyboardInterrupt):
            found.run_training()
    return trace


@pytest.mark.parametrize(("name", "stops"), [("SSLFinetuneSawtoothTrainer", [1, 2, 3, 4]), ("SSLFinetuneTrainer", [2])])
def test_resumed_in_any_stage_the_trace_is_the_uninterrupted_one(folder: Path, name: str, stops: list[int]) -> None:
    """Stages of the sawtooth: decoder up (epoch 0), down (1), whole network's warm-up (2), polynomial (3 to 5)."""
    prepare(folder, segmentation_lr=0.02, warmup_fraction=0.17)
    weights = weights_file(folder)
    whole = traced(started(name, weights))
    assert [epoch for epoch, *_ in whole] == list(range(6))
    frozen = [parts for *_, parts in whole]
    sawtooth = name.endswith("SawtoothTrainer")
    assert frozen == ([{ENCODER}] * 2 + [set()] * 4 if sawtooth else [set()] * 6)
    for _, rates, _ in whole:
        assert rates[SEGMENTATION] == pytest.approx(20 * rates[DECODER]), "the same shape, another peak"
    for stop in stops:
        results = folder / "nnUNet_results"
        for file in results.rglob("*.pth"):
            file.unlink()
        first = traced(started(name, weights), stop)
        resumed = trainer(name, resume=True)
        maybe_load_checkpoint(resumed, True, False)
        assert resumed.current_epoch == stop
        assert first + traced(resumed) == whole, f"stopped in epoch {stop}"


def test_parameter_groups_hold_every_parameter_once_with_nnunets_settings(folder: Path) -> None:
    prepare(folder, optimizer="sgd")
    found = trainer("SSLFinetuneTrainer")
    found.initialize()
    stock = trainer("nnUNetTrainer")
    stock.initialize()
    groups = {group["name"]: group for group in found.optimizer.param_groups}
    assert list(groups) == [DECODER, ENCODER, SEGMENTATION]
    grouped = [id(p) for group in groups.values() for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in found.network.parameters()}
    assert {id(p) for p in groups[SEGMENTATION]["params"]} == {
        id(p) for p in found.network.decoder.seg_layers.parameters()
    }
    for option in ("momentum", "nesterov", "weight_decay"):
        assert {group[option] for group in groups.values()} == {stock.optimizer.param_groups[0][option]}
    assert found.enable_deep_supervision


@pytest.mark.parametrize("stop", [1, 2])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_resumed_run_ends_with_the_weights_of_the_uninterrupted_one(folder: Path, optimizer: str, stop: int) -> None:
    prepare(folder, epochs=3, iterations_per_epoch=3, optimizer=optimizer)
    weights = weights_file(folder)
    whole = started("SSLFinetuneTrainer", weights)
    whole.run_training()
    file = Path(whole.output_folder) / "checkpoint_final.pth"
    expected = torch.load(file, weights_only=True)
    file.unlink()
    traced(started("SSLFinetuneTrainer", weights), stop)
    resumed = trainer("SSLFinetuneTrainer", resume=True)
    maybe_load_checkpoint(resumed, True, False)
    assert resumed.current_epoch == stop
    resumed.run_training()
    ended = torch.load(file, weights_only=True)
    assert all(torch.equal(value, ended["network_weights"][key]) for key, value in expected["network_weights"].items())
    losses = [content["logging"]["train_losses"] for content in (expected, ended)]
    assert losses[0] == losses[1]


@pytest.mark.parametrize("fused", [False, True])
def test_adamw_decays_kernels_alone_and_leaves_out_no_parameter(folder: Path, fused: bool) -> None:
    plans = make_plans({"finetuning": TINY})
    write_dataset(folder, with_contextual_fusion(plans) if fused else plans)
    for name in ("SSLFinetuneTrainer", "SSLScratchTrainer"):
        found = trainer(name)
        found.initialize()
        assert type(found.optimizer) is torch.optim.AdamW, "the default"
        groups = found.optimizer.param_groups
        assert groups[0]["name"] == DECODER, "whose rate nnU-Net logs"
        grouped = [id(p) for group in groups for p in group["params"]]
        assert len(grouped) == len(set(grouped))
        assert set(grouped) == {id(p) for p in found.network.parameters()}
        for group in groups:
            for parameter in group["params"]:
                assert group["weight_decay"] == (0.01 if parameter.ndim > 1 else 0), "norms and biases do not decay"


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_equal_rates_isolate_the_weights(folder: Path, optimizer: str) -> None:
    """Every group of either trainer, in every step: the same rate, warm-up included."""
    options = {"epochs": 2, "iterations_per_epoch": 10, "warmup_fraction": 0.2, "segmentation_lr": 0.05}
    prepare(folder, optimizer=optimizer, initial_lr=0.002, scratch_initial_lr=0.002, **options)
    rates = {name: by_step(name) for name in ("SSLFinetuneTrainer", "SSLScratchTrainer")}
    assert rates["SSLFinetuneTrainer"] == rates["SSLScratchTrainer"]
    shape = [0.25, 0.5, 0.75, 1, *((1 - done / 16) ** 0.9 for done in range(16))]
    assert [step[DECODER] for step in rates["SSLScratchTrainer"]] == pytest.approx([0.002 * part for part in shape])
    assert [step[SEGMENTATION] for step in rates["SSLScratchTrainer"]] == pytest.approx([0.05 * part for part in shape])


def test_scratch_is_set_apart_where_asked(folder: Path) -> None:
    options = {"epochs": 1, "iterations_per_epoch": 10, "warmup_fraction": 0.2}
    for settings, peak in (
        ({"optimizer": "adamw"}, 0.001),
        ({"optimizer": "adamw", "initial_lr": 0.003}, 0.003),
        ({"optimizer": "sgd"}, 0.01),
        ({"optimizer": "sgd", "scratch_initial_lr": 0.005}, 0.005),
    ):
        prepare(folder, **settings, **options)
        assert max(step[ENCODER] for step in by_step("SSLScratchTrainer")) == pytest.approx(peak)
    prepare(folder, scratch_warmup_fraction=0, **options)
    rates = [step[ENCODER] for step in by_step("SSLScratchTrainer")]
    assert rates == pytest.approx([0.001 * (1 - step / 10) ** 0.9 for step in range(10)]), "nnU-Net's"


def test_plans_and_checkpoints_of_an_earlier_version_keep_their_optimizer(folder: Path) -> None:
    earlier = {
        "initial_lr": 0.001,
        "scratch_initial_lr": 0.01,
        "segmentation_lr": None,
        "warmup_fraction": 0.4,
        "decoder_up_fraction": 0.025,
        "decoder_down_fraction": 0.025,
        "label_fraction": 1.0,
        "label_seed": 0,
        "seed": 3,
    }
    prepare(folder, **{**earlier, "iterations_per_epoch": 2})
    for name, rates in (
        ("SSLFinetuneTrainer", [0.0002, 0.0004, 0.0006, 0.0008, 0.001, 0.001]),
        ("SSLScratchTrainer", [0.01 * (1 - step / 12) ** 0.9 for step in range(6)]),
    ):
        assert [step[ENCODER] for step in by_step(name)[:6]] == pytest.approx(rates)
        assert type(trainer_of(name).optimizer) is torch.optim.SGD
    # A run of that version: its record lacks what came later.
    found = started("SSLFinetuneTrainer", weights_file(folder))
    traced(found, stop=2)
    file = Path(found.output_folder) / "checkpoint_latest.pth"
    content = torch.load(file, weights_only=True)
    for key in ("optimizer", "scratch_warmup_fraction"):
        del content["init_args"]["nnssl_plugin"][key]
    torch.save(content, file)
    resumed = trainer("SSLFinetuneTrainer", resume=True)
    maybe_load_checkpoint(resumed, True, False)
    assert resumed.current_epoch == 2
    # One whose optimiser had other groups.
    state = content["optimizer_state"]
    state["param_groups"] = [{**state["param_groups"][0], "params": list(state["state"])}]
    torch.save(content, file)
    with pytest.raises(InputError, match=r"optimiser of another version of the plugin .*use that version"):
        maybe_load_checkpoint(trainer("SSLFinetuneTrainer", resume=True), True, False)


def test_settings_that_leave_no_room_stop_before_any_work(folder: Path) -> None:
    prepare(folder, epochs=3)
    with pytest.raises(InputError, match=r"= 3 steps leave nothing"):
        trainer("SSLFinetuneSawtoothTrainer")
    assert not any((folder / "nnUNet_results").iterdir())
    assert trainer("SSLFinetuneTrainer").num_epochs == 3


def test_label_fraction_takes_whole_training_patients_and_leaves_validation(folder: Path) -> None:
    everything = {}
    for fraction in (0.5, 1.0):
        prepare(folder, label_fraction=fraction)
        for name in ("SSLFinetuneTrainer", "SSLScratchTrainer"):
            training, validation = trainer(name).do_split()
            assert validation == ["case04", "case05"], "of the split"
            everything[fraction, name] = training
    # Patients p0 (cases 0, 1) and p1 (cases 2, 3) train fold 0.
    assert everything[1.0, "SSLFinetuneTrainer"] == ["case00", "case01", "case02", "case03"]
    half = everything[0.5, "SSLFinetuneTrainer"]
    assert half in (["case00", "case01"], ["case02", "case03"])
    assert half == everything[0.5, "SSLScratchTrainer"]


def test_finetuned_stock_network_needs_no_plugin_to_predict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(folder, epochs=1)
    found = started("SSLFinetuneTrainer", weights_file(folder))
    found.run_training()
    output = Path(found.output_folder)
    saved = torch.load(output / "checkpoint_final.pth", weights_only=True)
    assert saved["trainer_name"] == "nnUNetTrainer"
    record = saved["nnssl_plugin"]["provenance"]
    assert record["made_by"] == "SSLFinetuneTrainer"
    assert record["initial_weights"] != "none"
    assert record["initial_weights"] != record["encoder_sha256"]
    assert f"initial weights: {record['initial_weights']}" in describe(read_checkpoint(output / "checkpoint_final.pth"))
    log = next(output.glob("training_log_*.txt")).read_text(encoding="utf-8")
    assert "ended with background only" in log
    assert "Predicted foreground: " in log
    assert "Stage: " in log

    monkeypatch.delenv("nnUNet_extTrainer")
    predictor = nnUNetPredictor(device=CPU, perform_everything_on_device=False, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(output.parent), (0,))
    assert predictor.trainer_name == nnUNetTrainer.__name__
    image = torch.from_numpy(brain(5, len(MODALITIES)))
    found.set_deep_supervision_enabled(False)
    found.network.eval()
    own = nnUNetPredictor(device=CPU, perform_everything_on_device=False, allow_tqdm=False)
    own.manual_initialization(
        found.network,
        found.plans_manager,
        found.configuration_manager,
        [found.network.state_dict()],
        found.dataset_json,
        "SSLFinetuneTrainer",
        found.inference_allowed_mirroring_axes,
    )
    expected = own.predict_logits_from_preprocessed_data(image)
    assert np.array_equal(predictor.predict_logits_from_preprocessed_data(image).numpy(), expected.numpy())


def test_network_of_the_plugin_keeps_its_trainer(folder: Path) -> None:
    write_dataset(folder, with_contextual_fusion(make_plans({"finetuning": {**TINY, "epochs": 1}})))
    found = trainer("SSLScratchTrainer")
    found.initialize()
    found.save_checkpoint(str(folder / "checkpoint.pth"))
    assert torch.load(folder / "checkpoint.pth", weights_only=True)["trainer_name"] == "SSLScratchTrainer"


def test_stock_trainer_takes_the_weights_and_resumes(folder: Path) -> None:
    """`nnUNetTrainer` beside our trainers, on the same plans."""
    prepare(folder)
    found = started("nnUNetTrainer", weights_file(folder))
    found.num_epochs, found.num_iterations_per_epoch, found.num_val_iterations_per_epoch, found.save_every = 3, 1, 1, 1
    traced_epochs: list[int] = []
    end = found.on_epoch_end

    def on_end() -> None:
        end()
        traced_epochs.append(found.current_epoch)
        if found.current_epoch == 2:
            raise KeyboardInterrupt

    found.on_epoch_end = on_end
    with pytest.raises(KeyboardInterrupt):
        found.run_training()
    again = trainer("nnUNetTrainer", resume=True)
    maybe_load_checkpoint(again, True, False)
    assert again.current_epoch == 2
