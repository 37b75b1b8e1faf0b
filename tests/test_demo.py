import argparse
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from nnssl_plugin.commands import demo as demo_command
from nnssl_plugin.demo import preparation
from nnssl_plugin.demo.cohort import scored_patients, write_phantoms
from nnssl_plugin.demo.demo import run_demo
from nnssl_plugin.demo.layout import DATASET, PREPARED, RAW, REPORT, STUDY
from nnssl_plugin.demo.preparation import demo_environment, prepare
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.demo.study_file import write_study_file
from nnssl_plugin.study.study_file import StudyFile
from tests.scans import run_convert
from tests.tiny_demo import TINY


def test_cohorts_are_disjoint_and_training_patients_are_not_scored(tmp_path: Path, monkeypatch) -> None:
    size = DemoSize(training=1, test=2, unlabelled=2, shape=(24, 24, 24))
    write_phantoms(tmp_path, size)
    cohorts = [{path.name for path in (tmp_path / "phantoms" / name).iterdir()} for name in ("labelled", "unlabelled")]
    assert [len(cohort) for cohort in cohorts] == [3, 2]
    assert not cohorts[0] & cohorts[1]
    assert not list((tmp_path / "phantoms" / "unlabelled").rglob("*-seg.nii.gz"))

    with demo_environment(tmp_path):
        (tmp_path / RAW).mkdir()
        run_convert(
            "brats", "-i", tmp_path / "phantoms", "-d", 501, "--unlabelled-id", 502, "--name", "Phantom", "--copy"
        )
    scored = scored_patients(tmp_path, size)
    assert len(scored) == 2
    assert {f"{patient}-000" for patient in scored} < cohorts[0]


def test_the_study_declares_the_demo(tmp_path: Path) -> None:
    """The two compared runs differ in nothing that the file could set apart; the test patients are declared as such."""
    study = StudyFile(write_study_file(tmp_path, DemoSize(), ["b", "a"])).study
    assert study.patients is not None
    assert (study.patients.test, study.patients.scored) == (["b", "a"], "test")
    assert "pretraining.datasets=[502]" in study.assignments
    assert study.plan_options == "--batch-size 2 --patch-size 40 48 40 --features 16 128"
    sections = [*study.controls.values(), *study.recipes.values(), *study.schedules.values()]
    assert all(not section.assignments for section in sections)
    assert [labels.title for labels in study.labels] == ["100percent"]


@pytest.fixture
def preparations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was run to make the demo's data, none of it really."""
    ran: list[str] = []
    monkeypatch.setattr(preparation, "write_phantoms", lambda folder, size: ran.append("phantoms"))

    def command(words, folder, environment, log, live) -> int:
        ran.append(words[0])
        log.write_text("why")
        return 1 if (tmp_path / "broken").exists() else 0

    monkeypatch.setattr(preparation, "run_command", command)
    return ran


def test_data_are_made_once_for_each_size(tmp_path: Path, preparations: list[str]) -> None:
    prepare(tmp_path, TINY)
    assert preparations == ["phantoms", "nnssl_plugin", "nnUNetv2_plan_and_preprocess", "nnssl_plugin"]
    (tmp_path / STUDY).mkdir()
    prepare(tmp_path, TINY)
    assert len(preparations) == 4
    assert (tmp_path / STUDY).is_dir()

    # Of another size, what was trained on the former data goes too.
    prepare(tmp_path, DemoSize())
    assert len(preparations) == 8
    assert not (tmp_path / STUDY).exists()


def test_data_that_were_not_finished_are_made_again(tmp_path: Path, preparations: list[str], capsys) -> None:
    (tmp_path / "broken").touch()
    (tmp_path / "nnssl_plugin_demo").touch()
    assert run_demo(tmp_path, TINY) == 1
    output = capsys.readouterr()
    assert str(tmp_path) in output.out
    assert "nnssl_plugin convert brats" in output.err
    assert "why" in output.err
    assert "Start it again" in output.err
    assert not (tmp_path / PREPARED).exists()
    (tmp_path / "broken").unlink()
    preparations.clear()
    prepare(tmp_path, TINY)
    assert len(preparations) == 4


def test_the_environment_is_the_demos_own_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RAW, "/the/users/own")
    before = dict(os.environ)
    with demo_environment(tmp_path):
        assert os.environ[RAW] == str(tmp_path / RAW)
    assert dict(os.environ) == before


def test_the_command_has_a_default_folder() -> None:
    parser = argparse.ArgumentParser()
    demo_command.add_arguments(parser)
    assert parser.parse_args([]).o == Path("nnssl_demo")


@pytest.mark.slow
def test_the_whole_demo_runs_and_resumes(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "the demo"
    assert run_demo(folder, TINY) == 0
    study = json.loads((folder / STUDY / "study.json").read_text(encoding="utf-8"))
    assert study["scored"] == "test"
    scored = [f"{patient}-000" for patient in scored_patients(folder, TINY)]
    evaluations = sorted((folder / STUDY / "evaluation").glob("*.json"))
    assert len(evaluations) == 2
    for file in evaluations:
        assert sorted(json.loads(file.read_text(encoding="utf-8"))["cases"]) == scored
    for run in study["runs"]:
        assert not set(run["cases"]) & set(scored)
    page = (folder / REPORT).read_text(encoding="utf-8")
    for title in ("Dice of the test cases", "The first 2 test cases", "Pre-training", "Fine-tuning", "What was run"):
        assert f"<h2>{title}</h2>" in page
    assert page.count("data:image/png;base64,") >= 5
    assert not re.search(r'(src|href)="(http|//)', page)
    assert "-pretrained_weights nnUNet_results" in page

    # As if killed while the last training was testing: it continues there, and nothing before it runs again.
    names = [run["name"] for run in study["runs"]]
    logs = {name: (folder / STUDY / "logs" / f"{name}.log").stat().st_mtime_ns for name in names}
    last = study["runs"][-1]
    trained = folder / "nnUNet_results" / DATASET / f"{last['trainer']}__{last['plans']}__3d_fullres"
    shutil.rmtree(trained / f"fold_{last['fold']}" / "validation")
    capsys.readouterr()
    assert run_demo(folder, TINY) == 0
    assert "made before" in capsys.readouterr().out
    log = (folder / STUDY / "logs" / f"{last['name']}.log").read_text(encoding="utf-8")
    assert log.count("$ nnUNetv2_train") == 2
    assert "--c" in log
    for name in names[:-1]:
        assert (folder / STUDY / "logs" / f"{name}.log").stat().st_mtime_ns == logs[name]
