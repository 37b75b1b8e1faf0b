"""Steps of the demo that do not need each other, at once: each on its share of the cores."""

import threading
from collections.abc import Callable, Sequence

from nnssl_plugin.runs.device import Device, devices
from nnssl_plugin.runs.output import LiveLine
from nnssl_plugin.runs.schedule import Task, run_tasks


class InterruptedStepError(Exception):
    """The demo was interrupted; raised where a step shows itself, so that it ends."""


class SharedLine:
    """`Display` of one of several steps that run at once: one line says how far each of them is."""

    def __init__(self, name: str, shown: dict[str, str], live: LiveLine, stop: threading.Event) -> None:
        self.name, self.shown, self.live, self.stop = name, shown, live, stop

    def show(self, text: str | None) -> None:
        """Show what of `text` fits beside the others.

        Raises:
            InterruptedStepError: the demo was.
        """
        if self.stop.is_set():
            raise InterruptedStepError
        if text:
            self.shown[self.name] = text.partition(":")[0]
        together = "  |  ".join(f"{name}: {what}" for name, what in list(self.shown.items()))
        self.live.show(together if text else None)


def run_side_by_side(names: Sequence[str], action: Callable[[str, SharedLine, Device], None]) -> dict[str, str]:
    """Do `action(name, display, device)` for all names at once.

    Returns:
        Name → what went wrong, empty if nothing did.

    Raises:
        KeyboardInterrupt: once all of them have ended.
    """
    stop, live = threading.Event(), LiveLine()
    shown: dict[str, str] = {}

    def task(name: str) -> Task[Device]:
        return Task(name, lambda device: action(name, SharedLine(name, shown, live, stop), device))

    outcomes = run_tasks([task(name) for name in names], devices(None, len(names)), stop)
    live.end()
    return outcomes
