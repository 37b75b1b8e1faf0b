"""`study.json`, by which a study's folder describes itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json

DESCRIPTION = "study.json"


def write_study(folder: Path, content: dict[str, Any]) -> None:
    """Write a study's description."""
    write_json(content, folder / DESCRIPTION)


def read_study(folder: Path) -> dict[str, Any]:
    """A study's description; one of version 0.2.0, where a seed also drew the labelled patients, as if it were today's.

    Raises:
        InputError: the folder is not a study's.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise InputError(f"{folder} is not a study's folder: it has no {DESCRIPTION}")
    study: dict[str, Any] = read_json(path)
    if "scored" not in study:
        study |= {"scored": "", "differs": {}, "runs": [_of_today(run) for run in study["runs"]]}
    return study


def folder_of_run(results: Path, study: Mapping[str, Any], run: Mapping[str, Any]) -> Path:
    """nnU-Net's folder of a run.

    Args:
        results: `nnUNet_results`.
        study: content of `study.json`.
        run: one of its entries.
    """
    return (
        results
        / study["dataset"]
        / f"{run['trainer']}__{run['plans']}__{study['configuration']}"
        / f"fold_{run['fold']}"
    )


def _of_today(run: dict[str, Any]) -> dict[str, Any]:
    new = {"recipe": run.pop("arm"), "draw": run["seed"], "budget": None}
    return {**run, **new, "pretraining_seed": None, "pretraining_steps": []}
