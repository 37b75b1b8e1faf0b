"""`SSLPretrainTrainer` trained by two processes, or four, on the CPU (Gloo)."""

import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.epoch import epoch_means
from tests.reports import described
from tests.synthetic import NAME, make_plans, write_dataset

EPOCHS = 3


@pytest.fixture(scope="module", params=[2, pytest.param(4, marks=pytest.mark.slow)])
def world(request: pytest.FixtureRequest) -> int:
    """Number of processes."""
    return int(request.param)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, world: int) -> Path:
    """The processes have trained, stopped and resumed here."""
    folder = tmp_path_factory.mktemp("ddp")
    settings = {
        "epochs": EPOCHS,
        "iterations_per_epoch": 3,
        "validation_iterations": 2,
        "save_every": 1,
        # As many as the fold's training patients: each process has some of its own.
        "patients_per_step": 4,
        "objectives": {name: {"weight": 1} for name in OBJECTIVES}
        | {"frame_contrast": {"weight": 1, "frames": "modalities"}},
    }
    plans = make_plans({"pretraining": settings})
    # With all objectives on, a step of this batch size has room for four patches of each kind.
    plans["configurations"]["3d_fullres"]["batch_size"] = 4 if world == 2 else 6
    write_dataset(folder, plans, **described(folder / "reports", [f"case{i:02d}" for i in range(6)]))
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ddp_trainer_worker", str(rank), str(world), folder / "meet", folder],
            cwd=Path(__file__).parents[1],
            env={
                **os.environ,
                "nnUNet_raw": str(folder),
                "nnUNet_preprocessed": str(folder / "nnUNet_preprocessed"),
                "nnUNet_results": str(folder / f"results{rank}"),
                "nnUNet_extTrainer": str(trainers_folder()),
                "nnUNet_n_proc_DA": "0",
            },
            stdout=(folder / f"log{rank}.txt").open("w"),
            stderr=subprocess.STDOUT,
        )
        for rank in range(world)
    ]
    codes = [process.wait(timeout=600) for process in processes]
    logs = [(folder / f"log{rank}.txt").read_text("utf-8") for rank in range(world)]
    assert codes == [0] * world, "\n".join(log[-3000:] for log in logs)
    return folder


@pytest.fixture(scope="module")
def outcomes(root: Path, world: int) -> list[dict[str, Any]]:
    return [torch.load(root / f"outcome{rank}.pt", weights_only=False) for rank in range(world)]


def test_gradients_are_those_of_one_process_with_the_joined_batch(outcomes: list[dict[str, Any]]) -> None:
    shares = [outcome["one"] for outcome in outcomes]
    first, joined = shares[0], outcomes[0]["joined"]
    # Unseeded: the network and the heads of process 0 are everyone's.
    for name, value in first["weights"].items():
        assert all(torch.equal(value, share["weights"][name]) for share in shares), name
    assert np.mean([share["loss"] for share in shares]) == pytest.approx(joined["loss"], rel=1e-5)
    assert {name.split(".")[1] for name in joined["gradients"] if name.startswith("objectives.")} == set(OBJECTIVES)
    assert sum(float(gradient.abs().max()) > 0.01 for gradient in joined["gradients"].values()) > 20
    for name, gradient in joined["gradients"].items():
        assert all(torch.equal(first["gradients"][name], share["gradients"][name]) for share in shares), name
        torch.testing.assert_close(
            # Sums over ten objectives in another order; a bias in front of an instance norm has rounding errors only.
            first["gradients"][name],
            gradient,
            rtol=0,
            atol=1e-3 * float(gradient.abs().max()) + 1e-4,
            msg=lambda m, n=name: f"{n}: {m}",
        )


def test_means_of_an_epoch_leave_out_what_is_not_finite_in_one_process(outcomes: list[dict[str, Any]]) -> None:
    """As one process reckons them that has the steps of all."""
    shares = [outcome["one"] for outcome in outcomes]
    steps = [step for share in shares for step in share["steps"]]
    assert sum(not torch.isfinite(step["loss"]) for step in steps) == 1
    expected = epoch_means(steps)
    assert len(expected) > 20
    for share in shares:
        assert share["means"] == pytest.approx(expected, rel=1e-5, nan_ok=True)
        assert np.isfinite(share["means"]["loss"])


def test_all_processes_end_with_the_same_weights_and_losses(outcomes: list[dict[str, Any]]) -> None:
    first, *others = (outcome["run"] for outcome in outcomes)
    assert len(first["weights"]) == 2 * 3
    for other in others:
        assert all(map(torch.equal, first["weights"], other["weights"]))
        assert set(first["log"]) == set(other["log"])
        for key, values in first["log"].items():
            np.testing.assert_array_equal(values, other["log"][key], err_msg=key)


def test_no_patient_is_drawn_by_two(outcomes: list[dict[str, Any]]) -> None:
    drawn = [
        {kind: {p for step in o["run"]["drawn"] for p in step[kind]} for kind in o["run"]["drawn"][0]} for o in outcomes
    ]
    assert set(drawn[0]) == {"plans/patient", "patients/patient"}
    assert set.union(*(own["patients/patient"] for own in drawn)) == {0, 1, 2, 3}
    for one, other in combinations([set.union(*own.values()) for own in drawn], 2):
        assert not one & other


def test_a_loss_that_is_not_finite_in_one_process_is_a_step_of_none(root: Path, outcomes: list[dict[str, Any]]) -> None:
    for outcome in outcomes:
        run = outcome["run"]
        assert torch.equal(run["weights"][0], run["start"]), "skipped in both"
        assert not torch.equal(run["weights"][1], run["start"])
        assert all(torch.isfinite(weights).all() for weights in run["weights"])
        assert np.isfinite(run["log"]["train_losses"]).all()
        assert np.isfinite(run["log"]["train/slem/cross_entropy"]).all()
        assert run["scale"] == 1
    assert "skipped 1 of 3 steps: loss or gradient was not finite (slem in 1)" in (root / "log0.txt").read_text("utf-8")


def test_a_stopped_run_goes_on_from_process_0s_checkpoint(outcomes: list[dict[str, Any]]) -> None:
    first, *others = (outcome["resumed"] for outcome in outcomes)
    assert first["device"] == "cpu"
    assert (first["began"], first["ended"]) == (2, EPOCHS)
    assert first["losses"][:2] == outcomes[0]["run"]["log"]["train_losses"]
    assert len(first["losses"]) == EPOCHS
    for other in others:
        assert {key: other[key] for key in other if key != "weights"} == {
            key: first[key] for key in first if key != "weights"
        }
        assert all(torch.equal(value, other["weights"][name]) for name, value in first["weights"].items())


def test_process_0_alone_writes(root: Path, world: int) -> None:
    written = {
        rank: {file.name for file in (root / f"results{rank}" / NAME).rglob("*") if file.is_file()}
        for rank in range(world)
    }
    assert {"checkpoint_final.pth", "checkpoint_best.pth", "progress.png", "summary.json", "report.html"} <= written[0]
    # nnU-Net writes these in every process.
    assert set.union(*(written[rank] for rank in range(1, world))) == {
        "plans.json",
        "dataset.json",
        "dataset_fingerprint.json",
    }
