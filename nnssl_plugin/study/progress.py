"""What a person sees of a study at work: one line for all that runs, and a line for each run that has ended."""

import threading
from collections.abc import Callable
from time import monotonic

from nnssl_plugin.runs.output import LiveLine, clock


class InterruptedRunError(Exception):
    """The study was interrupted; raised where a run shows itself, so that it ends."""


class Progress:
    """Shared by all runs of a study.

    Args:
        total: number of runs.
        done: number of runs that were finished before.
        remaining: seconds that are left, as far as is known.
        stop: set on an interrupt.
    """

    def __init__(
        self, total: int, done: int, remaining: Callable[[], float | None], stop: threading.Event, live: LiveLine
    ) -> None:
        self.total, self.done, self.remaining, self.stop, self.live = total, done, remaining, stop, live
        self.running: dict[str, str] = {}
        self.left, self.left_at = remaining(), monotonic()
        self.lock = threading.Lock()

    def of(self, run: str) -> "RunProgress":
        """Display of one run."""
        return RunProgress(self, run)

    def begin(self, run: str, resumes: bool) -> None:
        """Say that a run is begun."""
        with self.lock:
            self.running[run] = ""
            self._line(f"{'resumed' if resumes else 'started'}  {run}")

    def end(self, run: str, seconds: float, error: str = "") -> None:
        """Say that a run has ended."""
        with self.lock:
            self.running.pop(run, None)
            self.done += 0 if error else 1
            self.left, self.left_at = self.remaining(), monotonic()
            how = f"FAILED ({error.splitlines()[0]})" if error else "done"
            self._line(f"{how}  {run}  ({clock(seconds)}; {self.done} of {self.total} runs{self._left()})")

    def show(self, run: str, text: str | None) -> None:
        """Show what a run is doing."""
        with self.lock:
            if run in self.running and text:
                self.running[run] = text
            busy = "  |  ".join(f"{name}: {doing}" for name, doing in self.running.items())
            self.live.show(f"{self.done} of {self.total} runs{self._left()}  {busy}" if text else None)

    def _left(self) -> str:
        if self.left is None:
            return ""
        return f", about {clock(max(0.0, self.left - (monotonic() - self.left_at)))} min left"

    def _line(self, text: str) -> None:
        self.live.clear()
        print(text, flush=True)


class RunProgress:
    """`Display` of one run."""

    def __init__(self, progress: Progress, run: str) -> None:
        self.progress, self.run = progress, run

    def show(self, text: str | None) -> None:
        """Show `text`.

        Raises:
            InterruptedRunError: the study was.
        """
        if self.progress.stop.is_set():
            raise InterruptedRunError
        self.progress.show(self.run, text)
