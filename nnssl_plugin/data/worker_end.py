"""Worker processes of a loader that do not outlive the process they work for."""

import multiprocessing
import os
from threading import Thread


def end_with_parent() -> None:
    """Let this worker end when the process that started it has ended, also by SIGKILL, after which nobody tells it to.

    Does nothing in a process that is nobody's worker.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        # Nothing of a worker is worth tidying, and its main thread may wait for a queue that nobody reads.
        os._exit(1)

    Thread(target=wait, daemon=True).start()
