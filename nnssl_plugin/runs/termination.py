import os
import signal


def interrupt_when_terminated() -> None:
    """Let a terminated command end its runs as an interrupted one does: SIGTERM raises `KeyboardInterrupt`.

    In this process only. nnU-Net ends the workers of its pools by SIGTERM, and what is forked inherits handlers: one of Python's
    would print a traceback there or, while the worker waits for a lock, never run.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_end_at_once)


def _hold() -> None:
    """A signal that comes during the fork waits, so that the new process has no moment with its parent's handler."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_at_once() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _release()
