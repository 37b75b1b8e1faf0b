import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nnssl_plugin.errors import InputError


@contextmanager
def locked_file(path: Path, busy: str) -> Iterator[int]:
    """Create a file and lock it.

    Yields:
        A file descriptor: whoever has it open holds the lock.

    Raises:
        InputError: with the message `busy`, if another process holds the lock.
    """
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(lock.fileno()), path.stat())
        except (BlockingIOError, FileNotFoundError):
            held = False
        # Whoever held it before may have removed the file since it was opened here.
        if not held:
            raise InputError(busy)
        yield lock.fileno()


@contextmanager
def locked_folder(folder: Path, what: str) -> Iterator[int]:
    """Make `folder` that of a `what` (a demo, a study), or recognise it as such, and lock it.

    Yields:
        A file descriptor: whoever has it open holds the lock, so that what an interrupted run left running is noticed.

    Raises:
        InputError: the folder holds something else, or another process is at work in it.
    """
    marker = folder / f"nnssl_plugin_{what}"
    if folder.exists() and not folder.is_dir():
        raise InputError(f"-o {folder} is a file; a folder is needed")
    if folder.is_dir() and any(folder.iterdir()) and not marker.is_file():
        raise InputError(f"-o {folder} holds files that are not a {what}'s; name a new or empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    busy = f"another {what}, or what an interrupted one left running, is at work in {folder}; wait until it has ended"
    with locked_file(marker, busy) as descriptor:
        yield descriptor
