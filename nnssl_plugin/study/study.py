"""A study from its file to its report."""

import shutil
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from nnssl_plugin.runs.device import Device
from nnssl_plugin.runs.folder import locked_folder
from nnssl_plugin.runs.output import LiveLine, clock
from nnssl_plugin.runs.schedule import Task, run_tasks
from nnssl_plugin.study.one_run import OneRun
from nnssl_plugin.study.plans_copies import install_plans
from nnssl_plugin.study.progress import InterruptedRunError, Progress
from nnssl_plugin.study.record import error_of, is_begun
from nnssl_plugin.study.render import render
from nnssl_plugin.study.run import Run
from nnssl_plugin.study.study_folder import write_study
from nnssl_plugin.study.study_runs import StudyRuns

if TYPE_CHECKING:
    from nnssl_plugin.study.jobs import Jobs


def run_study(
    file: Path, folder: Path, slots: Sequence[Device | None], dry_run: bool, jobs: "Jobs | None" = None
) -> int:
    """Run what is not done yet of a study; prints its table and names its report.

    Args:
        file: the study file.
        folder: of the study.
        slots: where runs are trained, one at a time each; None: what a scheduler gives the job.
        dry_run: only say what would be done.
        jobs: does every run as a job; by default this process does.

    Returns:
        Exit code: 0, 1 if a run failed, 130 if interrupted.

    Raises:
        InputError: the file, or what it names, is not usable; something is there that the study did not make.
    """
    runs = StudyRuns(file, folder, slots)
    print(runs.describe())
    if None not in slots:
        runs.time_steps()
    seconds = runs.remaining()
    if seconds is not None:
        print(
            f"about {clock(seconds)} min left: finished runs' time per step or, of a kind that none is of yet, a step of the "
            "network timed now, without loading, augmentation and validation"
        )
    if dry_run:
        return 0
    try:
        with locked_folder(folder, "study"):
            prepare(runs)
            if jobs:
                jobs.open(folder / "jobs")
            failed = _work(runs, jobs)
    except KeyboardInterrupt:
        print("\nInterrupted. Start it again to continue: finished runs are kept.", file=sys.stderr)
        return 130
    try:
        print(f"\n{render(folder)}")
    finally:
        for name, error in failed.items():
            print(f"\n{name} failed: {error}", file=sys.stderr)
        if failed:
            print(f"\n{len(failed)} of {len(runs.runs)} runs failed; start it again to retry them.", file=sys.stderr)
    return 1 if failed else 0


def prepare(runs: StudyRuns) -> None:
    """Make the study's folder, its folds and its plans copies, unless something is there that it did not make."""
    for part in ("logs", "runs", "evaluation"):
        (runs.folder / part).mkdir(exist_ok=True)
    runs.declare_folds()
    runs.check_records()
    install_plans(runs.plans, runs.data)
    copy = runs.folder / "study.yaml"
    if not copy.exists() or not copy.samefile(runs.file):
        shutil.copyfile(runs.file, copy)
    write_study(runs.folder, runs.description())


def _work(runs: StudyRuns, jobs: "Jobs | None") -> dict[str, str]:
    """Train and evaluate what is left to do; returns what went wrong, by run."""
    stop, live, finished = threading.Event(), LiveLine(), runs.finished()
    todo = [run for run in runs.runs if run.name not in finished]
    progress = Progress(len(runs.runs), len(finished), runs.remaining, stop, live)

    def task(run: Run) -> Task[Device | None]:
        def action(device: Device | None) -> None:
            started, name = monotonic(), run.name.removeprefix(f"{runs.study.name}_")
            progress.begin(name, is_begun(runs.places.fold(run)))
            one = OneRun(run, runs.plans_hash(run), runs.weights(run), runs.places, device)
            try:
                if jobs:
                    jobs.do(run.name, one, progress.of(name), lambda: error_of(runs.folder, run.name))
                else:
                    one(progress.of(name))
            except InterruptedRunError:
                raise
            except Exception as error:
                progress.end(name, monotonic() - started, str(error) or type(error).__name__)
                raise
            progress.end(name, monotonic() - started)

        needs = (run.pretraining,) if run.pretraining and run.pretraining not in finished else ()
        return Task(run.name, action, needs)

    outcomes = run_tasks([task(run) for run in todo], runs.slots, stop)
    live.end()
    return {name: error for name, error in outcomes.items() if error}
