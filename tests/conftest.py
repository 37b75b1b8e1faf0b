import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.study_commands import Commands

# nnU-Net starts eight processes per pool unless told otherwise.
os.environ.setdefault("nnUNet_def_n_proc", "2")
os.environ.setdefault("nnUNet_n_proc_DA", "2")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real cases; tests that want it are skipped where it is absent."""
    folder = Path(os.environ.get("NNSSL_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real cases at {folder}; set NNSSL_TEST_DATA")
    return folder


@pytest.fixture
def nnunet_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three nnU-Net folders below it, named by the environment."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


@pytest.fixture
def raw(nnunet_folders: Path) -> Path:
    """Where nnU-Net's raw data sets are."""
    return nnunet_folders / "nnUNet_raw"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An empty folder for scans to be converted."""
    (tmp_path / "scans").mkdir()
    return tmp_path / "scans"


@pytest.fixture
def commands(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> "Commands":
    """Stand-ins for the commands that a study runs, on a tiny preprocessed data set."""
    from nnssl_plugin.study import execute
    from tests.study_commands import Commands
    from tests.synthetic import make_plans, write_dataset

    monkeypatch.delenv("nnUNet_extTrainer", raising=False)
    write_dataset(nnunet_folders, make_plans(), cases=6)
    commands = Commands(nnunet_folders)
    monkeypatch.setattr(execute, "run_command", commands)
    monkeypatch.setattr(execute, "evaluate_predictions", commands.evaluate)
    return commands
