"""Runs side by side: each waits for those it needs, and a failed one does not stop the others."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

Slot = TypeVar("Slot")


@dataclass(frozen=True)
class Task(Generic[Slot]):
    """Something to do in a slot (a GPU, a share of the cores); `needs`: names of tasks that must have ended well."""

    name: str
    action: Callable[[Slot], None]
    needs: tuple[str, ...] = ()


def run_tasks(tasks: Sequence[Task[Slot]], slots: Sequence[Slot], stop: threading.Event) -> dict[str, str]:
    """Run tasks, one per slot at a time, in order as far as what they need allows.

    Args:
        tasks: each after those it needs.
        slots: one thread each; a slot may be there several times.
        stop: set on an interrupt; actions must end soon then, and nothing else is begun.

    Returns:
        Name → what went wrong, empty if nothing did; in the order of `tasks`. What was not begun is missing.

    Raises:
        KeyboardInterrupt: once the running actions have ended.
    """
    outcomes: dict[str, str] = {}
    waiting = list(tasks)
    changed = threading.Condition()

    def work(slot: Slot) -> None:
        while True:
            with changed:
                while (task := _next(waiting, outcomes)) is None:
                    if not waiting or stop.is_set():
                        return
                    changed.wait(timeout=1)
                if stop.is_set():
                    return
                waiting.remove(task)
                failed = [name for name in task.needs if outcomes[name]]
            outcome = f"not run, because {', '.join(failed)} failed" if failed else _attempt(task, slot, stop)
            if outcome is None:
                return
            with changed:
                outcomes[task.name] = outcome
                changed.notify_all()

    with ThreadPoolExecutor(len(slots)) as pool:
        workers: list[Future[None]] = []
        try:
            workers += [pool.submit(work, slot) for slot in slots]
            # Not `Thread.join`, which takes a running thread for ended when a signal interrupts it (before Python 3.13).
            wait(workers)
        except BaseException:
            stop.set()
            wait(workers)
            raise
    for worker in workers:
        worker.result()
    return {task.name: outcomes[task.name] for task in tasks if task.name in outcomes}


def _attempt(task: Task[Slot], slot: Slot, stop: threading.Event) -> str | None:
    """What went wrong, empty if nothing did; None if the action ended because of `stop`."""
    try:
        task.action(slot)
    except Exception as error:
        return None if stop.is_set() else str(error) or type(error).__name__
    return ""


def _next(waiting: Sequence[Task[Slot]], outcomes: Mapping[str, str]) -> Task[Slot] | None:
    return next((task for task in waiting if all(name in outcomes for name in task.needs)), None)
