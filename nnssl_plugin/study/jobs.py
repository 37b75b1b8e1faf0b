"""Runs as jobs of a Slurm cluster, or of this machine, through submitit."""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from submitit import AutoExecutor, SlurmJob
from submitit.core.utils import FailedJobError
from submitit.helpers import Checkpointable

from nnssl_plugin.errors import InputError, RunError
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.runs.command import Display
from nnssl_plugin.runs.processes import end_processes, process_and_children

CLUSTERS = ("local", "slurm")
# How often a job that reached its time limit, and one that vanished without a word (its machine taken back or broken), is
# submitted again; one that is told that it will be preempted always is.
MOST_TIMEOUTS = 100
MOST_SUBMISSIONS = 4
# Submitit ends local jobs after five minutes unless told otherwise.
YEAR_IN_MINUTES = 60 * 24 * 365
# Seconds.
BETWEEN_LOOKS = 1.0
PATIENCE = 15.0
# A scheduler that takes a machine back signals all processes of a job at once: that the training has ended may be seen before
# the signal that says why.
FOR_A_SIGNAL = 3.0


class Resumed(Checkpointable):
    """What a job does: `action`, again from its start after a preemption or at the end of its time."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action

    def __call__(self) -> None:
        """Do it."""
        try:
            self.action()
        except RunError:
            time.sleep(FOR_A_SIGNAL)
            raise


class Jobs:
    """Submits jobs and waits for them.

    A job that is preempted or runs out of time is submitted again. What was submitted is remembered in the folder, so that
    a study that is started again waits for the jobs that are still there.

    Args:
        cluster: `local` or `slurm`.
        parameters: of submitit's `AutoExecutor`, such as `timeout_min`, `gpus_per_node` or `slurm_partition`.

    Raises:
        InputError: there is no Slurm here, or no time limit for it.
    """

    def __init__(self, cluster: str, parameters: Mapping[str, Any]) -> None:
        if cluster == "slurm" and not shutil.which("srun"):
            raise InputError("--executor slurm: there is no srun here; start the study where jobs can be submitted")
        if cluster == "slurm" and not {"timeout_min", "slurm_time"} & set(parameters):
            raise InputError("--executor slurm: give a job's time limit in minutes, as in --job timeout_min=1440")
        self.cluster, self.parameters = cluster, {"timeout_min": YEAR_IN_MINUTES, **parameters}
        self.lock = threading.Lock()

    def open(self, folder: Path) -> None:
        """Keep what is submitted in this folder, which all machines must see.

        Raises:
            InputError: submitit does not know a parameter.
        """
        limits = {f"{cluster}_max_num_timeout": MOST_TIMEOUTS for cluster in CLUSTERS}
        self.folder = folder
        self.executor = AutoExecutor(folder, cluster=self.cluster, **limits)
        try:
            self.executor.update_parameters(**self.parameters)
        except (NameError, AssertionError) as error:
            raise InputError(f"--job: {error}") from None

    def do(self, name: str, action: Callable[[], None], display: Display, error_of: Callable[[], str]) -> None:
        """Have a job do `action`, and wait until it has finished; an exception of `display` cancels it.

        Args:
            name: of the job.
            action: is pickled.
            display: shows the job's state.
            error_of: what the failed job has left to say, if anything.

        Raises:
            RunError: it failed, was cancelled, or vanished time and again.
        """
        for _ in range(MOST_SUBMISSIONS):
            job = self._submitted(name) or self._submit(name, action)
            try:
                while not job.done():
                    display.show(f"job {job.job_id}: {job.state.lower()}")
                    time.sleep(BETWEEN_LOOKS)
            except BaseException:
                self._cancel(job)
                raise
            error = job.exception()
            self._forget(name)
            if error is None:
                return
            if isinstance(error, FailedJobError):
                raise RunError(error_of() or str(error))
            if job.state.startswith("CANCELLED"):
                raise RunError(f"its job {job.job_id} was cancelled; the output: {job.paths.stderr}")
            display.show(f"job {job.job_id} vanished ({job.state.lower()}); it is submitted again")
        raise RunError(f"its job vanished {MOST_SUBMISSIONS} times; the last output: {job.paths.stderr}")

    def _remembered(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _submit(self, name: str, action: Callable[[], None]) -> Any:
        # Parameters are the executor's, and runs are submitted by threads.
        with self.lock:
            self.executor.update_parameters(name=name)
            job = self.executor.submit(Resumed(action))
        write_json({"cluster": self.cluster, "job": job.job_id}, self._remembered(name))
        return job

    def _submitted(self, name: str) -> Any:
        """The job of an earlier start of the study, if it has not ended. Local ones are found by their lock."""
        path = self._remembered(name)
        if self.cluster == "local" or not path.is_file():
            return None
        content = read_json(path)
        job: SlurmJob[None] = SlurmJob(self.folder, content["job"])
        return job if content["cluster"] == self.cluster and not job.done(force_check=True) else None

    def _forget(self, name: str) -> None:
        self._remembered(name).unlink(missing_ok=True)

    def _cancel(self, job: Any) -> None:
        running = process_and_children(int(job.job_id)) if self.cluster == "local" else []
        job.cancel(check=False)
        # Slurm ends it in its own time. Submitit interrupts a local job, and what a script starts in its background ignores that.
        end_processes(running, PATIENCE)
