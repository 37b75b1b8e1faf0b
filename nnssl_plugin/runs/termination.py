import os
import signal
from types import FrameType


def interrupt_when_terminated() -> None:
    """Let a terminated command end its runs as an interrupted one does: SIGTERM raises `KeyboardInterrupt`.

    In this process only. nnU-Net ends the workers of its pools by SIGTERM, and those that are forked have this handler too.
    """
    owner = os.getpid()

    def handle(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:
            signal.default_int_handler(number, frame)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    signal.signal(signal.SIGTERM, handle)
