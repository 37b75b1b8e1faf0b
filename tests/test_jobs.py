"""Runs as jobs: submitit's local executor, and its Slurm executor on a stand-in for Slurm."""

import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("submitit")

from nnssl_plugin.errors import InputError, RunError
from nnssl_plugin.runs.schedule import Task, run_tasks
from nnssl_plugin.study import jobs as jobs_module
from nnssl_plugin.study.jobs import Jobs
from tests.submitted_jobs import Trace, write_slurm


class Shown:
    """A display that remembers, and may stop."""

    def __init__(self, stops_at: str = "never") -> None:
        self.texts: list[str] = []
        self.stops_at = stops_at

    def show(self, text: str | None) -> None:
        self.texts.append(text or "")
        if self.stops_at in (text or ""):
            raise InterruptedError


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """On this machine."""
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)
    monkeypatch.setattr(jobs_module, "BETWEEN_LOOKS", 0.1)
    jobs = Jobs("local", {})
    jobs.open(tmp_path / "jobs")
    return jobs


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """On the stand-in."""
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0)
    monkeypatch.setattr(jobs_module, "BETWEEN_LOOKS", 0.1)
    monkeypatch.setenv("PATH", f"{write_slurm(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}")
    jobs = Jobs("slurm", {"timeout_min": 60, "gpus_per_node": 1, "slurm_partition": "long"})
    jobs.open(tmp_path / "jobs")
    return jobs


def do(jobs: Jobs, action: Trace, shown: Shown | None = None) -> None:
    jobs.do(action.file.name, action, shown or Shown(), lambda: "")


def test_jobs_keep_their_order(jobs: Jobs, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    tasks = [
        Task(name, lambda _, name=name: do(jobs, Trace(trace, name)), needs)
        for name, needs in (("pretrain", ()), ("tune", ("pretrain",)))
    ]
    assert run_tasks(tasks, [None, None], threading.Event()) == {"pretrain": "", "tune": ""}
    assert trace.read_text().split() == ["pretrain", "tune"]


@pytest.mark.parametrize("ends", ["killed", "preempted"])
def test_a_job_that_is_taken_away_is_submitted_again(jobs: Jobs, tmp_path: Path, ends: str) -> None:
    shown = Shown()
    do(jobs, Trace(tmp_path / "trace", ends=ends), shown)
    assert (tmp_path / "trace").read_text().split() == ["done", "done"]
    assert any("submitted again" in text for text in shown.texts) == (ends == "killed")
    assert not list((tmp_path / "jobs").glob("trace.json"))


def test_a_failed_job_is_not(jobs: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="the training failed"):
        do(jobs, Trace(tmp_path / "trace", ends="fails"))
    assert (tmp_path / "trace").read_text().split() == ["done"]


@pytest.mark.parametrize("handler", [signal.default_int_handler, signal.SIG_IGN], ids=["terminal", "background"])
def test_what_is_interrupted_is_cancelled(jobs: Jobs, tmp_path: Path, handler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where interrupts are ignored, as by what a script starts in its background; nothing of it goes on."""
    monkeypatch.setattr(jobs_module, "PATIENCE", 2.0)
    trace, started = Trace(tmp_path / "trace", ends="waits"), []
    # Tests before this one may have left multiprocessing's resource tracker.
    others = set(psutil.Process().children(recursive=True))

    class Stops(Shown):
        def show(self, text: str | None) -> None:
            if trace.file.exists():
                started.extend(set(psutil.Process().children(recursive=True)) - others)
                raise InterruptedError

    before = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.raises(InterruptedError):
            do(jobs, trace, Stops())
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(started) >= 2, "submitit's controller, and what it started"
    assert not [process for process in started if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    # As if it had never been: the next start submits it anew.
    trace.ends = ""
    do(jobs, trace)


def test_slurm_is_asked_for_what_was_said(slurm: Jobs, tmp_path: Path) -> None:
    do(slurm, Trace(tmp_path / "trace"))
    asked = (tmp_path / "bin" / "asked").read_text()
    for line in ("--partition=long", "--gpus-per-node=1", "--time=60", "--job-name=trace", "--signal=USR2@90"):
        assert f"#SBATCH {line}" in asked
    assert (tmp_path / "trace").read_text().split() == ["done"]


def test_a_study_that_starts_again_waits_for_its_slurm_jobs(slurm: Jobs, tmp_path: Path) -> None:
    trace = Trace(tmp_path / "trace", ends="waits")
    slurm._submit("trace", trace)
    while not trace.file.exists():
        time.sleep(0.1)
    again = Jobs("slurm", slurm.parameters)
    again.open(tmp_path / "jobs")
    with pytest.raises(InterruptedError):
        do(again, trace, Shown(stops_at="running"))
    assert (tmp_path / "bin" / "cancelled.1").exists()
    assert len((tmp_path / "bin" / "submitted").read_text().split()) == 1


def test_a_cancelled_job_is_not_submitted_again(slurm: Jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("submitit.slurm.slurm.SlurmJob.watcher._delay_s", 0)
    trace = Trace(tmp_path / "trace", ends="waits")

    def cancel() -> None:
        while not trace.file.exists():
            time.sleep(0.1)
        os.system(f"{tmp_path / 'bin' / 'scancel'} 1")

    threading.Thread(target=cancel).start()
    with pytest.raises(RunError, match="was cancelled"):
        do(slurm, trace)


def test_mistakes_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="Unknown argument 'partitoin'"):
        Jobs("local", {"slurm_partitoin": "x"}).open(tmp_path / "jobs")
    with pytest.raises(InputError, match='"timeout_min" expected type'):
        Jobs("local", {"timeout_min": "x"}).open(tmp_path / "jobs")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="no srun here"):
        Jobs("slurm", {"timeout_min": 60})
    monkeypatch.setenv("PATH", str(write_slurm(tmp_path / "bin")))
    with pytest.raises(InputError, match="time limit"):
        Jobs("slurm", {})
