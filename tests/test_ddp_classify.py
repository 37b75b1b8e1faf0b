"""`SSLClassifyTrainer` trained by two processes on the CPU (Gloo)."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from tests.class_data import write_classes
from tests.synthetic import NAME


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    write_classes(tmp_path, seed=None)
    environment = {
        **os.environ,
        "nnUNet_raw": str(tmp_path),
        "nnUNet_preprocessed": str(tmp_path / "nnUNet_preprocessed"),
        "nnUNet_results": str(tmp_path / "results"),
        "nnUNet_extTrainer": str(trainers_folder()),
        "nnUNet_n_proc_DA": "0",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ddp_classify_worker", str(rank), tmp_path / "meet", tmp_path],
            cwd=Path(__file__).parents[1],
            env=environment,
            stdout=(tmp_path / f"log{rank}.txt").open("w"),
            stderr=subprocess.STDOUT,
        )
        for rank in (0, 1)
    ]
    codes = [process.wait(timeout=300) for process in processes]
    assert codes == [0, 0], "\n".join((tmp_path / f"log{rank}.txt").read_text("utf-8")[-3000:] for rank in (0, 1))
    first, second = (torch.load(tmp_path / f"outcome{rank}.pt", weights_only=False) for rank in (0, 1))
    assert all(map(torch.equal, first["weights"], second["weights"]))
    assert first["cases"] == 2
    for key, values in first["log"].items():
        np.testing.assert_array_equal(values, second["log"][key], err_msg=key)
    place = tmp_path / "results" / NAME / "SSLClassifyTrainer__Tiny__2d" / "fold_0"
    assert (place / "validation" / "predictions.csv").is_file()
    assert (place / "checkpoint_final.pth").is_file()
