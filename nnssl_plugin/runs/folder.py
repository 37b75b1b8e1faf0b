from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nnssl_plugin.errors import InputError
from nnssl_plugin.runs.processes import is_at_work_in


@contextmanager
def locked_file(path: Path, busy: str) -> Iterator[None]:
    """Create a file and lock it for as long as the block runs.

    Raises:
        InputError: with the message `busy`, if another process holds the lock.
    """
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(busy) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def locked_folder(folder: Path, what: str) -> Iterator[None]:
    """Make `folder` that of a `what` (a demo, a study), or recognise it as such, and lock it.

    Raises:
        InputError: the folder holds something else, or another process is at work in it: one that holds the lock, or a
            command that an interrupted process left running.
    """
    marker = folder / f"nnssl_plugin_{what}"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"-o {folder} is a file; a folder is needed")
    if folder.is_dir() and any(folder.iterdir()) and not marker.is_file():
        raise InputError(f"-o {folder} holds files that are not a {what}'s; name a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    busy = (
        f"another {what}, or what an interrupted one left running, is at work in {folder}; wait until it has finished"
    )
    with locked_file(marker, busy):
        if is_at_work_in(folder):
            raise InputError(busy)
        yield
