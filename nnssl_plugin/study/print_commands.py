"""A study for any scheduler: prepared, and the command of each run with those that must have ended before it."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from nnssl_plugin.runs.device import Device
from nnssl_plugin.runs.folder import locked_folder
from nnssl_plugin.study.study import prepare
from nnssl_plugin.study.study_runs import StudyRuns


def print_commands(file: Path, folder: Path, slots: Sequence[Device | None]) -> int:
    """Prepare a study's folder, folds and plans copies, and print the commands of the runs that are not finished.

    Returns:
        Exit code 0.

    Raises:
        InputError: as of `run_study`.
    """
    runs = StudyRuns(file, folder, slots)
    with locked_folder(folder, "study"):
        prepare(runs)
    finished = runs.finished()
    print(
        f"# {runs.study.name}: {len(runs.runs) - len(finished)} of {len(runs.runs)} runs. Each can be started again and then continues."
    )
    for run in runs.runs:
        if run.name not in finished:
            after = f"  # after {run.pretraining}" if run.pretraining and run.pretraining not in finished else ""
            command = ["nnssl_plugin", "study", str(file), "-o", str(folder), "--run", run.name]
            print(f"{shlex.join(command)}{after}")
    print(f"# When all have ended, the tables and the page: nnssl_plugin study {shlex.quote(str(folder))}")
    return 0
