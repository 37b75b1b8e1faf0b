"""One run of a study by itself, as a scheduler starts it: on the device it was given, without the rest of the study."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from nnssl_plugin.errors import InputError, RunError
from nnssl_plugin.runs.command import Display
from nnssl_plugin.runs.device import VISIBLE, Device, usable_cores
from nnssl_plugin.runs.folder import locked_file
from nnssl_plugin.runs.output import LiveLine
from nnssl_plugin.study.execute import Places, execute
from nnssl_plugin.study.run import Run
from nnssl_plugin.study.study_folder import DESCRIPTION
from nnssl_plugin.study.study_runs import StudyRuns


@dataclass(frozen=True)
class OneRun:
    """What a job does; it travels to another machine as a pickle.

    Attributes:
        run: to be done.
        plans_hash: of the content of its plans copy.
        weights: that it starts from, if any.
        places: where things are.
        device: where it is trained; None: what the scheduler gives the job.
    """

    run: Run
    plans_hash: str
    weights: Path | None
    places: Places
    device: Device | None = None

    def __call__(self, display: Display | None = None) -> None:
        """Do what is left to do of the run, unless another process is at it.

        Raises:
            RunError, InputError: as `execute`.
        """
        lock = self.places.study / "runs" / f"{self.run.name}.lock"
        device = self.device or given_device()
        with locked_file(lock, f"another process is at work on {self.run.name}; wait until it has finished"):
            execute(self.run, self.plans_hash, self.weights, self.places, device, display or LiveLine())


def given_device() -> Device:
    """The GPUs that this process can see, or else the cores it may use."""
    if torch.cuda.is_available():
        return Device(os.environ.get(VISIBLE, "0"))
    return Device(cores=tuple(usable_cores()))


def do_one_run(file: Path, folder: Path, name: str) -> int:
    """Do the run of that name; returns the exit code.

    Raises:
        InputError: there is no such run, the study was not prepared, or the weights it starts from are not there yet.
    """
    runs = StudyRuns(file, folder, [given_device()])
    if name not in runs.by_name:
        raise InputError(f"--run {name}: {file} has no such run; --dry-run lists them")
    if not (folder / DESCRIPTION).is_file():
        raise InputError(
            f"{folder} has not been prepared; --print-commands prepares it, and prints the command of each run"
        )
    run = runs.by_name[name]
    weights = runs.weights(run)
    if weights is not None and not weights.is_file():
        raise InputError(f"{name} starts from {weights}, which is not there; do the run {run.pretraining} first")
    try:
        OneRun(run, runs.plans_hash(run), weights, runs.places)()
    except RunError as error:
        print(f"{name} failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. Start it again to continue.", file=sys.stderr)
        return 130
    print(f"{name}: done")
    return 0
