"""The plans copies of a study's runs, made by `nnssl_plugin plan`: all of them, or none."""

import argparse
import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tqdm import tqdm

from nnssl_plugin.commands import plan
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import write_text
from nnssl_plugin.study.run import Run

VARIABLE = "nnUNet_preprocessed"


def make_plans(runs: Sequence[Run], folder: Path) -> dict[str, dict[str, Any]]:
    """Content of every run's plans copy, by name; nothing is written into the data set's folder.

    Args:
        runs: of the study.
        folder: preprocessed data set.

    Raises:
        InputError: a run's options or settings are not those of `nnssl_plugin plan`.
    """
    made: dict[str, dict[str, Any]] = {}
    with _staging(folder) as staging:
        for run in tqdm(runs, desc="plans copies"):
            if run.plans not in made:
                made[run.plans] = _make(run, folder.name, staging)
    return made


def install_plans(made: dict[str, dict[str, Any]], folder: Path) -> None:
    """Write the copies into the data set's folder.

    Raises:
        InputError: one of them is there with another content; nothing is written then.
    """
    paths = {folder / f"{name}.json": content for name, content in made.items()}
    for path, content in paths.items():
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != content:
            raise InputError(
                f"{path} exists and is not what the study declares: the study, the plans it copies or the plugin have "
                "changed. Name the study or the recipe otherwise, or remove that file and the results made with it"
            )
    for path, content in paths.items():
        if not path.is_file():
            write_text(path, json.dumps(content, indent=4))


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A look-alike of the data set's folder, to which `nnUNet_preprocessed` points meanwhile."""
    before = os.environ[VARIABLE]
    with tempfile.TemporaryDirectory() as temporary:
        staging = Path(temporary) / folder.name
        staging.mkdir()
        for entry in folder.iterdir():
            (staging / entry.name).symlink_to(entry.resolve())
        os.environ[VARIABLE] = temporary
        try:
            yield staging
        finally:
            os.environ[VARIABLE] = before


def _make(run: Run, dataset: str, staging: Path) -> dict[str, Any]:
    target = staging / f"{run.plans}.json"
    target.unlink(missing_ok=True)
    words = ["-d", dataset, "-p", run.source, "-o", run.plans, *run.options]
    if run.settings:
        words += ["--set", *run.settings]
    parser = _Parser(prog="nnssl_plugin plan")
    plan.add_arguments(parser)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            plan.run(parser.parse_args(words))
    except InputError as error:
        raise InputError(f"plans of {run.name}: {error}") from None
    return dict(json.loads(target.read_text(encoding="utf-8")))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"plan options: {message}")
