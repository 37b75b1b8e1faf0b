"""Learned weights of pairs in the real nnU-Net: held-out cases, checkpoints, resuming."""

from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run.run_training import get_trainer_from_args, run_training

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.registry import OBJECTIVES
from tests.synthetic import NAME, make_plans, write_dataset

CPU = torch.device("cpu")


@pytest.fixture
def folder(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    objectives = {name: {"weight": float(name == "frame_contrast")} for name in OBJECTIVES}
    objectives["frame_contrast"] |= {"weighting": "meta", "frames": "modalities"}
    settings = {
        "epochs": 3,
        "iterations_per_epoch": 4,
        "validation_iterations": 1,
        "save_every": 1,
        "seed": 3,
        "patients_per_step": 2,
        "objectives": objectives,
        "meta": {"every": 2, "held_out": 0.4},
    }
    write_dataset(nnunet_folders, make_plans({"pretraining": settings}))
    return nnunet_folders


def trainer(fold: int | str = "all", resume: bool = False) -> Any:
    return get_trainer_from_args(NAME, "3d_fullres", fold, "SSLPretrainTrainer", "Tiny", resume, device=CPU)


def final(folder: Path) -> dict[str, Any]:
    run = folder / "nnUNet_results" / NAME / "SSLPretrainTrainer__Tiny__3d_fullres" / "fold_all"
    content: dict[str, Any] = torch.load(run / "checkpoint_final.pth", weights_only=True)
    return content


def test_held_out_cases_are_never_trained_on(folder: Path) -> None:
    found = trainer()
    found.initialize()
    training, held_out = found.make_loader(augment=True), found.make_loader(augment=True, held_out=True)
    sides = [{record.case for record in loader._data} for loader in (training, held_out)]
    assert sides[0].isdisjoint(sides[1])
    assert sides[0] | sides[1] == {record.case for record in found.cohort}
    assert len(sides[1]) == 2
    assert {case for _ in range(20) for case in held_out.generate_train_batch()["patients/cases"]} == sides[1]


def test_too_few_patients_to_hold_some_out(folder: Path) -> None:
    found = trainer()
    found.cohort = found.cohort[:3]
    with pytest.raises(
        InputError, match=r"3 patients are too few to hold 2 of them out.*frame_contrast\.weighting=mean"
    ):
        found.make_loader(augment=True)


def test_a_resumed_run_is_as_an_uninterrupted_one(folder: Path) -> None:
    run_training(NAME, "3d_fullres", "all", "SSLPretrainTrainer", "Tiny", device=CPU)
    whole = final(folder)
    run = folder / "nnUNet_results" / NAME / "SSLPretrainTrainer__Tiny__3d_fullres" / "fold_all"
    assert (run / "validation" / "frame_contrast.png").is_file()
    log = next(run.glob("training_log*.txt")).read_text()
    assert (
        "40% of the patients are held out: by them the weights of pairs (frame_contrast) are learned, every 2 steps"
        in log
    )
    for file in run.glob("*.pth"):
        file.unlink()
    stopped = trainer()
    original, steps = stopped.train_step, 0

    def step(batch: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > 8:
            raise KeyboardInterrupt
        return original(batch)

    stopped.train_step = step
    with pytest.raises(KeyboardInterrupt):
        stopped.run_training()
    run_training(NAME, "3d_fullres", "all", "SSLPretrainTrainer", "Tiny", continue_training=True, device=CPU)
    resumed = final(folder)
    weighing = [key for key in whole["nnssl_plugin"]["heads"] if "weigh." in key]
    assert len(weighing) == 3
    for section in ("network_weights", None):
        one, other = (c[section] if section else c["nnssl_plugin"]["heads"] for c in (whole, resumed))
        assert all(torch.equal(value, other[key]) for key, value in one.items())
    fresh = trainer()
    fresh.initialize()
    heads = fresh.step.state()["heads"]
    assert any(not torch.equal(heads[key], whole["nnssl_plugin"]["heads"][key]) for key in weighing), (
        "they were learned"
    )
