from pathlib import Path

import pytest

from nnssl_plugin.cli import main
from nnssl_plugin.doctor import versions
from nnssl_plugin.doctor.folders import folders
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from tests.synthetic import NAME, make_plans, write_dataset

VARIABLES = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Subject → its line, and the mend behind it."""
    found: dict[str, str] = {}
    subject = ""
    for line in capsys.readouterr().out.splitlines():
        if line.startswith(("ok", "warning", "wrong")):
            subject = line.split()[1]
            found[subject] = line
        elif "→" in line:
            found[subject] += line.strip()
    return found


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_that_is_not_set(
    variable: str, nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(variable)
    assert main(["doctor"]) == 1
    assert f"→ export {variable}=" in lines(capsys)[variable]


def test_a_folder_that_is_not_there(
    nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("nnUNet_results", str(nnunet_folders / "no where"))
    assert main(["doctor"]) == 1
    assert f'mkdir -p "{nnunet_folders / "no where"}"' in lines(capsys)["nnUNet_results"]


def test_nothing_is_wrong(
    nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", f"/elsewhere:{trainers_folder()}")
    write_dataset(nnunet_folders, make_plans(), cases=6)
    assert main(["doctor"]) == 0
    found = lines(capsys)
    assert "ssl_pretrain_trainer" in found["trainers"]
    assert found[NAME].startswith("ok")


@pytest.mark.parametrize("named", [None, "/elsewhere"])
def test_trainers_that_nnunet_does_not_find(named: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    if named:
        monkeypatch.setenv("nnUNet_extTrainer", named)
    finding = folders()[-1]
    assert finding.state == "wrong"
    assert "nnssl_plugin trainers" in finding.mend


def test_missing_cases_and_what_comes_next(nnunet_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(nnunet_folders, make_plans(), cases=6)
    images = [
        file for file in (nnunet_folders / "nnUNet_preprocessed" / NAME).rglob("*.b2nd") if "_seg" not in file.name
    ]
    images[0].unlink()
    (nnunet_folders / "nnUNet_raw" / "Dataset902_Nothing").mkdir()
    assert main(["doctor"]) == 1
    found = lines(capsys)
    assert "cases are missing" in found[NAME]
    assert "nnUNetv2_plan_and_preprocess -d 901" in found[NAME]
    assert "no dataset.json" in found["Dataset902_Nothing"]


@pytest.mark.parametrize(("installed", "state"), [("2.7.0", "wrong"), ("2.8.1", "ok"), ("2.9.0", "warning")])
def test_versions_of_nnunet(installed: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "version", lambda package: installed)
    assert versions.versions()[1].state == state
