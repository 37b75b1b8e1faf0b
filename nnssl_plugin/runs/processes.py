"""The processes of a command, found by a mark in their environment, which all that it starts inherits.

A parent that has ended no longer names its children, and process groups are not to be had on every system.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil

MARK = "nnssl_plugin_command"
# Seconds that processes have to end by themselves once they are told to.
PATIENCE = 10.0


def new_mark(folder: Path) -> str:
    """Value of the environment variable `MARK` for one command that works in `folder`."""
    return f"{uuid4().hex} {folder.resolve()}"


def is_at_work_in(folder: Path) -> bool:
    """Whether a command that was started to work in or below `folder`, or anything it started, is still running."""
    return any(Path(mark.partition(" ")[2]).is_relative_to(folder.resolve()) for _, mark in _marked())


def end_command(mark: str) -> None:
    """End what runs with this mark; that something of it has ended already is no error."""
    running = [process for process, found in _marked() if found == mark]
    for process in running:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(running, PATIENCE)
    # What did not end, and what was started meanwhile.
    for process in [process for process, found in _marked() if found == mark]:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def process_and_children(identifier: int) -> list[psutil.Process]:
    """A process and all that it started, as far as they are still running."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(identifier)
        return [process, *process.children(recursive=True)]
    return []


def end_processes(processes: Iterable[psutil.Process], patience: float = PATIENCE) -> None:
    """End what of these, and of what they have started meanwhile, has not ended by itself after `patience` seconds."""
    _, left = psutil.wait_procs(processes, patience)
    left = list(dict.fromkeys(child for one in left for child in process_and_children(one.pid)))
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, PATIENCE)


def _marked() -> Iterator[tuple[psutil.Process, str]]:
    for process in psutil.process_iter():
        # Processes of other people cannot be looked at; others end meanwhile.
        with suppress(psutil.Error, OSError):
            if mark := process.environ().get(MARK):
                yield process, mark
