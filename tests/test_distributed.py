"""`torchrun -m nnssl_plugin.distributed` with two processes on the CPU (Gloo), one of which is killed; the job then goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from nnssl_plugin.runs.processes import MARK
from tests.synthetic import NAME, make_plans, write_dataset

EPOCHS = 8


def torchrun(folder: Path, *arguments: str, processes: int = 2) -> "subprocess.Popen[str]":
    """Start it; everything it starts carries a mark."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return subprocess.Popen(
        [*command, "-m", "nnssl_plugin.distributed", "901", "3d_fullres", "all", "-p", "Tiny", *arguments],
        cwd=Path(__file__).parents[1],
        env={
            **{key: value for key, value in os.environ.items() if key != "nnUNet_extTrainer"},
            "nnUNet_raw": str(folder),
            "nnUNet_preprocessed": str(folder / "nnUNet_preprocessed"),
            "nnUNet_results": str(folder / "results"),
            "nnUNet_n_proc_DA": "1",
            "OMP_NUM_THREADS": "1",
            MARK: str(folder),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def marked(folder: Path) -> list[psutil.Process]:
    """Processes of the job that are still there."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def write_tiny(folder: Path) -> Path:
    """A data set; returns where the run's results will be."""
    settings = {"epochs": EPOCHS, "iterations_per_epoch": 2, "validation_iterations": 1, "save_every": 1}
    objectives = {"objectives": {"contrastive": {"weight": 1}, "restoration": {"weight": 1}}}
    plans = make_plans({"pretraining": {"patients_per_step": 4, **settings, **objectives}})
    write_dataset(folder, plans)
    return folder / "results" / NAME / "SSLPretrainTrainer__Tiny__3d_fullres" / "fold_all"


@pytest.mark.slow
def test_a_killed_process_ends_the_job_with_a_message_and_the_job_goes_on(tmp_path: Path) -> None:
    fold = write_tiny(tmp_path)
    job = torchrun(tmp_path, "-device", "cpu")
    until = time.monotonic() + 1200
    while not (fold / "checkpoint_latest.pth").exists() and time.monotonic() < until and job.poll() is None:
        time.sleep(0.1)
    # The first of those with this rank; the others are the workers of its loader.
    ranks = [process for process in marked(tmp_path) if process.environ().get("RANK") == "1"]
    min(ranks, key=lambda process: process.create_time()).send_signal(signal.SIGKILL)
    output, _ = job.communicate(timeout=600)
    assert job.returncode != 0
    assert "Signal 9 (SIGKILL) received by PID" in output
    # Nothing of it is left, the workers of the killed process's loader included.
    while marked(tmp_path) and time.monotonic() < until:
        time.sleep(0.1)
    assert marked(tmp_path) == []
    kept = torch.load(fold / "checkpoint_latest.pth", weights_only=False)
    assert 1 <= kept["current_epoch"] < EPOCHS

    output, _ = (job := torchrun(tmp_path, "-device", "cpu", "--c")).communicate(timeout=1200)
    assert job.returncode == 0, output
    losses = torch.load(fold / "checkpoint_final.pth", weights_only=False)["logging"]["train_losses"]
    assert len(losses) == EPOCHS
    assert losses[: kept["current_epoch"]] == kept["logging"]["train_losses"][: kept["current_epoch"]]
    assert (fold / "validation" / "report.html").is_file()
    assert len(list(fold.glob("training_log*"))) == 2, "process 0 alone writes, once a start"
    assert marked(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-device", "cuda"], "torch finds 0 GPUs"),
        (["-device", "cpu", "-tr", "SSLScratchTrainer"], "train it on one machine, with nnUNetv2_train -num_gpus"),
    ],
)
def test_mistakes_are_said_once(tmp_path: Path, arguments: list[str], message: str) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    write_tiny(tmp_path)
    output, _ = torchrun(tmp_path, *arguments).communicate(timeout=600)
    assert output.count(message) == 1


def test_without_torchrun_it_says_how_to_start() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "nnssl_plugin.distributed", "901", "3d_fullres", "all"],
        env={key: value for key, value in os.environ.items() if key != "LOCAL_RANK"},
        capture_output=True,
        encoding="utf-8",
    )
    assert result.returncode == 2
    assert "start it by torchrun" in result.stderr
