import os
from pathlib import Path

import pytest

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
