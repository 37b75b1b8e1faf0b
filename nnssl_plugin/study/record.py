"""What a study remembers of a run, and what of the run is on disk."""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from nnssl_plugin.checkpoints.provenance import file_sha256
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json

FINAL, LATEST, SUMMARY = "checkpoint_final.pth", "checkpoint_latest.pth", "validation/summary.json"


@dataclass(frozen=True)
class Record:
    """Of one run, `runs/NAME.json`.

    Attributes:
        made_with: what its results depend on.
        state: `started`, `finished` or `failed`.
        seconds: of all attempts.
        error: of the last attempt.
    """

    made_with: dict[str, Any]
    state: str = "started"
    seconds: float = 0.0
    error: str = ""


def record_path(study: Path, name: str) -> Path:
    """The record of a run."""
    return study / "runs" / f"{name}.json"


def read_record(study: Path, name: str) -> Record | None:
    """The record of a run, if it was ever started."""
    path = record_path(study, name)
    return Record(**read_json(path)) if path.is_file() else None


def error_of(study: Path, name: str) -> str:
    """What went wrong in the last attempt of a run; empty if nothing did."""
    record = read_record(study, name)
    return record.error if record else ""


def write_record(study: Path, name: str, record: Record) -> None:
    """Keep the record of a run."""
    write_json(asdict(record), record_path(study, name))


def is_trained(fold: Path) -> bool:
    """Whether a run has its final weights and has been validated."""
    return (fold / FINAL).is_file() and (fold / SUMMARY).is_file()


def is_begun(fold: Path) -> bool:
    """Whether nnU-Net's `--c` has something to continue from."""
    return (fold / FINAL).is_file() or (fold / LATEST).is_file()


def check_record(record: Record | None, made_with: dict[str, Any], name: str, fold: Path) -> None:
    """Check that what is in the folder of a run was made by this study, from the same cases and weights.

    Raises:
        InputError: it was not.
    """
    if record is None:
        if is_begun(fold):
            raise InputError(f"{fold} holds a run that this study did not make; remove it, or name the study otherwise")
        return
    changed = [key for key, value in made_with.items() if record.made_with.get(key) != value]
    if changed and is_begun(fold):
        raise InputError(
            f"{fold} was made with other {', '.join(changed)} than {name} has now; remove it to run it again, or name the "
            "study otherwise"
        )


def weights_hash(path: Path) -> str:
    """SHA-256 of a checkpoint, computed once while the file does not change."""
    return _hash_of_state(path, path.stat().st_mtime_ns)


@cache
def _hash_of_state(path: Path, _: int) -> str:
    return file_sha256(path)
