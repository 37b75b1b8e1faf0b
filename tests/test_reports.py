"""Images and reports: conversion, the objective, zero-shot, one run through the real commands."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.run.run_training import run_training

from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.objectives.report_contrast import ReportContrast, ReportContrastSettings
from nnssl_plugin.text.hashed_words import BUCKETS, hashed_words
from nnssl_plugin.text.text_encoder import TextEncoder
from nnssl_plugin.zero_shot.findings import read_findings
from tests.batches import make_batch, network_shape
from tests.class_data import table_of, with_block, write_classes
from tests.synthetic import BACKGROUND, NAME, brain, make_plans


def objective(axes: int = 2) -> ReportContrast:
    torch.manual_seed(0)
    return ReportContrast(ReportContrastSettings(text_width=16), network_shape(axes, 3)).eval()


def test_words_are_numbers_of_any_language() -> None:
    found = hashed_words("Pleural effusion, LEFT. Plural Ödem 积液", 8)
    assert found.tolist()[:3] == hashed_words("pleural EFFUSION left", 3).tolist()
    assert (found > 0).sum() == 6
    assert found.max() < BUCKETS
    assert len(set(found[:6].tolist())) == 6
    assert hashed_words("", 4).tolist() == [0] * 4
    assert hashed_words("a b c", 2).tolist() == hashed_words("a b", 2).tolist()


def test_padding_says_nothing() -> None:
    torch.manual_seed(0)
    encoder = TextEncoder(8, 16).eval()
    words = torch.tensor([[3, 9, 0, 0, 0, 0, 0, 0], [0] * 8])
    alone = TextEncoder(8, 16).eval()
    alone.load_state_dict(encoder.state_dict())
    short = TextEncoder(2, 16).eval()
    short.load_state_dict({**encoder.state_dict(), "places": encoder.places[:2]})
    features = encoder(words)
    torch.testing.assert_close(features[:1], short(words[:1, :2]))
    assert torch.equal(features[1], torch.zeros(16)), "a text without words is finite and empty"


@pytest.mark.parametrize("axes", [2, 3])
def test_loss_is_clips(axes: int) -> None:
    batch, task = make_batch(axes, 3), objective(axes)
    features = Features([torch.randn(6, 16, *[2] * axes)])
    views = task.draw_views(batch, torch.Generator())
    result = task({"image": features}, views, batch)
    image, text = task.embed(features), task.embed_text(batch.side_data["report_contrast"]["words"])
    logits = image @ text.T / 0.1
    expected = (
        torch.nn.functional.cross_entropy(logits, torch.arange(6))
        + torch.nn.functional.cross_entropy(logits.T, torch.arange(6))
    ) / 2
    torch.testing.assert_close(result.loss, expected)
    assert result.metrics["retrieval_chance"].item() == pytest.approx(1 / 6)
    assert result.metrics["temperature"].item() == pytest.approx(0.1)
    result.loss.backward()
    assert all(p.grad is not None for p in task.parameters())


@pytest.mark.parametrize("why", ["one patient", "equal texts"])
def test_what_is_never_a_negative(why: str) -> None:
    batch, task = make_batch(2, 3), objective()
    features = Features([torch.randn(6, 16, 2, 2)])
    if why == "one patient":
        batch.patient[:] = 0
    else:
        batch.side_data["report_contrast"]["text"][:] = 7
    assert task({"image": features}, task.draw_views(batch, torch.Generator()), batch).loss == 0


def test_cases_without_a_report_do_not_count() -> None:
    batch, task = make_batch(2, 3), objective()
    batch.side_data["report_contrast"]["words"][:2] = 0
    maps = torch.randn(6, 16, 2, 2, requires_grad=True)
    result = task({"image": Features([maps])}, task.draw_views(batch, torch.Generator()), batch)
    result.loss.backward()
    assert maps.grad is not None
    assert (maps.grad[:2] == 0).all()
    assert (maps.grad[2:] != 0).any()
    batch.side_data["report_contrast"]["words"][:] = 0
    nothing = task({"image": Features([maps])}, task.draw_views(batch, torch.Generator()), batch)
    assert nothing.loss == 0
    nothing.loss.backward()


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


@pytest.fixture
def folder(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve cases, every other one with a bright block, in nnUNet_raw and preprocessed."""
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    write_classes(nnunet_folders, cases=12)
    base = nnunet_folders / "nnUNet_preprocessed" / NAME
    raw = nnunet_folders / "nnUNet_raw" / NAME
    (raw / "imagesTr").mkdir(parents=True)
    (raw / "labelsTr").mkdir()
    content = json.loads((base / "dataset.json").read_text())
    content.pop("dataset", None)
    (raw / "dataset.json").write_text(json.dumps(content))
    for case in table_of(12):
        (raw / "labelsTr" / f"{case}.nii.gz").touch()
        for channel in range(2):
            (raw / "imagesTr" / f"{case}_000{channel}.nii.gz").touch()
    return nnunet_folders


def write_reports(folder: Path, **changes: str) -> Path:
    """A table of text files."""
    words = ["bright block seen in the head", "nothing bright, plain head"]
    table = folder / "cases.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["case", "report"])
        for i, case in enumerate(table_of(12)):
            (folder / f"{case}.txt").write_text(f"{words[0] if i % 2 else words[1]}, number {i}", encoding="utf-8")
            writer.writerow([case, changes.get(case, f"{case}.txt")])
    return table


def reports(table: Path, *more: str) -> int:
    return main(["convert", "reports", "-d", NAME, "--table", str(table), *more])


def test_reports_are_kept_with_the_data_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_reports(folder, case00="the text itself, \ufffd lost", case01="", case03="case02.txt")
    assert reports(table) == 0
    said = capsys.readouterr().out
    for expected in (
        "reports of 11 of 12 cases",
        "without a report: 1 cases, like case01",
        "2 cases share their text",
        "U+FFFD) in 1 reports",
    ):
        assert expected in said
    for base in ("nnUNet_raw", "nnUNet_preprocessed"):
        entry = json.loads((folder / base / NAME / "dataset.json").read_text())["nnssl_plugin"]["cases"]["case00"]
        assert Path(entry["files"]["report"]).read_text(encoding="utf-8").startswith("the text itself")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: write_reports(folder, case02="missing.txt"), "there is no file .*missing.txt"),
        (lambda folder: binary(folder, b"\xff\xfe\x00"), "not UTF-8"),
        (lambda folder: binary(folder, b"a\0b"), "is no text"),
    ],
)
def test_reports_that_cannot_be_read(
    folder: Path, capsys: pytest.CaptureFixture[str], write: Any, message: str
) -> None:
    before = (folder / "nnUNet_raw" / NAME / "dataset.json").read_text()
    assert reports(write(folder)) == 2
    assert re.search(message, capsys.readouterr().err)
    assert (folder / "nnUNet_raw" / NAME / "dataset.json").read_text() == before
    assert not (folder / "nnUNet_raw" / NAME / "reports").exists()


def binary(folder: Path, content: bytes) -> Path:
    table = write_reports(folder)
    (folder / "case02.txt").write_bytes(content)
    return table


def test_other_columns_and_cases(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_reports(folder)
    assert reports(table, "--report", "notes") == 2
    assert "expected notes" in capsys.readouterr().err
    table.write_text("case,report\nelse,some words\n")
    assert reports(table) == 2
    assert "none of its cases" in capsys.readouterr().err


def test_pretraining_and_zero_shot_through_the_commands(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write_reports(folder)
    objectives = {name: {"weight": float(name == "report_contrast")} for name in OBJECTIVES}
    objectives["report_contrast"] |= {"text_width": 32}
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
    with pytest.raises(InputError, match="0 patients have a report"):
        run_training(NAME, "2d", "all", "SSLPretrainTrainer", "Tiny", device=torch.device("cpu"))
    assert reports(table) == 0
    run_training(NAME, "2d", "all", "SSLPretrainTrainer", "Tiny", device=torch.device("cpu"))
    run = folder / "nnUNet_results" / NAME / "SSLPretrainTrainer__Tiny__2d" / "fold_all"
    assert any("reports of 12 of 12 cases" in log.read_text() for log in run.glob("training_log*.txt"))
    assert b"bright block" not in (run / "checkpoint_final.pth").read_bytes()
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
