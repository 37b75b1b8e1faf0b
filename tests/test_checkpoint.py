import pickle
import random
import re
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch

from nnssl_plugin.checkpoints import checkpoint_file
from nnssl_plugin.checkpoints.checkpoint_file import (
    random_state,
    read_checkpoint,
    restore_random_state,
    save_atomically,
    to_plain,
)
from nnssl_plugin.errors import InputError

WEIGHTS = {"a": torch.arange(5000.0)}


def test_plain_values_are_readable_with_weights_only_and_equal(tmp_path: Path) -> None:
    content = {"network_weights": WEIGHTS, "loss": np.float32(0.5), "more": [np.int64(3), (np.arange(2), None)]}
    save_atomically(to_plain(content), tmp_path / "w.pth")
    read = torch.load(tmp_path / "w.pth", weights_only=True)
    assert torch.equal(read["network_weights"]["a"], WEIGHTS["a"])
    assert (read["loss"], read["more"]) == (0.5, [3, ([0, 1], None)])
    assert type(read["loss"]) is float


def test_random_state_survives_the_file(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(5)
    np.random.seed(1)
    np.random.normal()
    state = to_plain({"network_weights": WEIGHTS, "random": random_state(generator)})
    expected = [random.random(), np.random.normal(), float(torch.rand(1)), float(torch.rand(1, generator=generator))]
    save_atomically(state, tmp_path / "w.pth")
    restore_random_state(read_checkpoint(tmp_path / "w.pth")["random"], generator)
    assert expected == [
        random.random(),
        np.random.normal(),
        float(torch.rand(1)),
        float(torch.rand(1, generator=generator)),
    ]


def test_numpy_values_of_nnunets_log_are_read_without_running_code(tmp_path: Path) -> None:
    logging = {"lrs": [np.float64(0.1)], "dice": [np.float32(0.5)], "state": np.arange(3, dtype=np.uint32)}
    torch.save({"network_weights": WEIGHTS, "logging": logging}, tmp_path / "w.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "w.pth", weights_only=True)
    for mmap in (False, True):
        read = read_checkpoint(tmp_path / "w.pth", mmap=mmap)
        assert (read["logging"]["lrs"], read["logging"]["dice"]) == ([0.1], [0.5])
        assert torch.equal(read["network_weights"]["a"], WEIGHTS["a"])


class Dangerous:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    torch.save({"network_weights": WEIGHTS, "x": Dangerous(tmp_path / "ran")}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"holds more than tensors and plain values \(.*pathlib.*weights_only=True"):
        read_checkpoint(tmp_path / "w.pth")
    assert not (tmp_path / "ran").exists()


def write_bad(kind: str, file: Path) -> None:
    if kind == "text":
        file.write_text("no checkpoint")
    elif kind == "empty":
        file.touch()
    elif kind == "truncated":
        torch.save({"network_weights": WEIGHTS}, file)
        file.write_bytes(file.read_bytes()[:9000])
    elif kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("folder/a", "b")
    elif kind == "pickle":
        file.write_bytes(pickle.dumps({"network_weights": 1}))
    elif kind == "list":
        torch.save([1], file)
    elif kind == "other":
        torch.save({"state_dict": WEIGHTS}, file)
    elif kind == "path":
        torch.save({"network_weights": WEIGHTS, "p": PurePosixPath("a")}, file)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("absent", "there is no file"),
        ("text", "is no checkpoint: torch cannot read it"),
        ("empty", "is no checkpoint: torch cannot read it"),
        ("pickle", "is no checkpoint"),
        ("truncated", "is truncated or damaged"),
        ("zip", "is truncated or damaged"),
        ("list", "has no 'network_weights'"),
        ("other", "has no 'network_weights'"),
        ("path", "PurePosixPath"),
    ],
)
def test_files_that_are_no_checkpoint(tmp_path: Path, kind: str, message: str) -> None:
    file = tmp_path / "weights.pth"
    write_bad(kind, file)
    for mmap in (False, True):
        with pytest.raises(InputError, match=rf"weights\.pth.*{message}|{message}.*weights\.pth"):
            read_checkpoint(file, mmap=mmap)


def test_checkpoints_stand_under_training_and_export() -> None:
    room = Path(checkpoint_file.__file__).parent
    imported = {
        module.split(".")[1]
        for file in room.glob("*.py")
        for module in re.findall(r"^\s*from (nnssl_plugin\.\w+)", file.read_text(encoding="utf-8"), re.M)
    }
    assert imported <= {"checkpoints", "errors", "files", "nnunet"}
