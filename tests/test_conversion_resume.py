import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.runs.folder import locked_file
from tests.scans import brats_case, dataset_json, run_convert


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "conversion.json"
    }


def test_a_second_conversion_at_the_same_time_is_refused(tmp_path: Path, nnunet_folders: Path) -> None:
    brats_case(tmp_path / "scans", "BraTS-GLI-00000-000")
    raw = nnunet_folders / "nnUNet_raw"
    with (
        locked_file(raw / ".conversion_501.lock", ""),
        pytest.raises(InputError, match="another conversion to id 501 is running"),
    ):
        run_convert("brats", "-i", tmp_path / "scans", "-d", 501)
    assert run_convert("brats", "-i", tmp_path / "scans", "-d", 501) == 0
    assert [path.name for path in raw.iterdir()] == ["Dataset501_BraTS2023"]


@pytest.mark.slow
@pytest.mark.parametrize("record", ["checked", "written"])
def test_a_killed_conversion_is_gone_on_with(
    tmp_path: Path, nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch, capsys, record: str
):
    """Killed while cases are being checked, or written, and run again: as if it had never been interrupted."""
    source, raw = tmp_path / "scans", nnunet_folders / "nnUNet_raw"
    for number in range(150):
        brats_case(source, f"BraTS-GLI-{number:05d}-000")
    arguments = ("brats", "-i", source, "-d", 501, "--copy")
    command = [sys.executable, "-m", "nnssl_plugin.cli", "convert", *map(str, arguments)]
    process = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    work = raw / ".conversion_501.unfinished"
    while len(list((work / record).rglob("*.json"))) < 5:
        assert process.poll() is None, "it was done before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (raw / "Dataset501_BraTS2023").exists()

    assert run_convert(*arguments) == 0
    assert "continuing the interrupted conversion" in capsys.readouterr().out
    assert [path.name for path in raw.iterdir()] == ["Dataset501_BraTS2023"]
    resumed = raw / "Dataset501_BraTS2023"
    assert len(dataset_json(resumed)["nnssl_plugin"]["cases"]) == 150

    whole = tmp_path / "whole"
    monkeypatch.setenv("nnUNet_raw", str(whole))
    assert run_convert(*arguments) == 0
    assert contents(resumed) == contents(whole / "Dataset501_BraTS2023")
