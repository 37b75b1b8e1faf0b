"""Findings by prompts, after a pre-training on reports through the real commands."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.run.run_training import run_training

from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.zero_shot.findings import read_findings
from tests.class_data import with_block, write_classes
from tests.synthetic import BACKGROUND, NAME, brain, make_plans

REPORTS = ["nothing bright, plain head", "bright block seen in the head"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no finding"),
        ("a: {positive: [x]}", "a needs negative"),
        ("a: {positive: [], negative: [x]}", "a needs positive"),
        ("a: [", "cannot be read"),
    ],
)
def test_findings_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_findings(tmp_path / "f.yaml")


@pytest.mark.slow
def test_pretraining_and_zero_shot_through_the_commands(
    nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = nnunet_folders
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    write_classes(folder, cases=12)
    objectives = {name: {"weight": float(name == "report_contrast")} for name in OBJECTIVES}
    settings = {
        "epochs": 6,
        "iterations_per_epoch": 20,
        "validation_iterations": 1,
        "initial_lr": 3e-3,
        "patients_per_step": 8,
        "seed": 1,
        "objectives": objectives,
    }
    base = folder / "nnUNet_preprocessed" / NAME
    plans = make_plans({"pretraining": settings}, channels=2)
    plans["configurations"]["2d"]["batch_size"] = 12
    (base / "Tiny.json").write_text(json.dumps(plans))
    content = json.loads((base / "dataset.json").read_text())
    for i, (case, entry) in enumerate(content["nnssl_plugin"]["cases"].items()):
        (folder / f"{case}.txt").write_text(f"{REPORTS[i % 2]}, number {i}", encoding="utf-8")
        entry["files"] = {"report": str(folder / f"{case}.txt")}
    (base / "dataset.json").write_text(json.dumps(content))
    run_training(NAME, "2d", "all", "SSLPretrainTrainer", "Tiny", device=torch.device("cpu"))
    run = folder / "nnUNet_results" / NAME / "SSLPretrainTrainer__Tiny__2d" / "fold_all"
    images = folder / "images"
    images.mkdir()
    for i in range(8):
        image = brain(100 + i, 2)
        image = with_block(image, 100 + i)[0] if i % 2 else image
        for channel in range(2):
            sitk.WriteImage(
                sitk.GetImageFromArray(image[channel] - BACKGROUND), str(images / f"new{i}_000{channel}.nii.gz")
            )
    findings = folder / "findings.yaml"
    findings.write_text("block:\n  positive: [bright block seen]\n  negative: [nothing bright, plain head]\n")
    words = [
        "zeroshot",
        str(run / "checkpoint_final.pth"),
        "-d",
        NAME,
        "-p",
        "Tiny",
        "-c",
        "2d",
        "-i",
        str(images),
        "-device",
        "cpu",
    ]
    assert main([*words, "--findings", str(findings), "-o", str(folder / "scores.csv")]) == 0
    rows = list(csv.DictReader((folder / "scores.csv").open()))
    present = np.array([float(row["block=1"]) for row in rows])
    assert present[1::2].min() > present[::2].max()
    truth = folder / "truth.csv"
    truth.write_text("case,block\n" + "".join(f"new{i},{i % 2}\n" for i in range(8)))
    capsys.readouterr()
    assert (
        main(["evaluate", "classes", str(folder / "scores.csv"), "-g", str(truth), "-o", str(folder / "r.json")]) == 0
    )
    assert "AUC" in capsys.readouterr().out
    # A checkpoint without such heads, and one of another network.
    content = torch.load(run / "checkpoint_final.pth", weights_only=True)
    torch.save({**content, "nnssl_plugin": {"heads": {}}}, folder / "none.pth")
    assert (
        main([words[0], str(folder / "none.pth"), *words[2:], "--findings", str(findings), "-o", str(folder / "x.csv")])
        == 2
    )
    assert "was not pre-trained on reports" in capsys.readouterr().err
    assert (
        main(
            [
                *words[:-4],
                "-i",
                str(images),
                "-device",
                "cpu",
                "--findings",
                str(findings),
                "-c",
                "3d_fullres",
                "-o",
                str(folder / "x.csv"),
            ]
        )
        == 2
    )
    assert "does not fit" in capsys.readouterr().err
    assert not (folder / "x.csv").exists()
