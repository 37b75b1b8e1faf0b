"""Runs side by side: each waits for those it needs, and a failed one does not stop the others."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Generic, TypeVar

Slot = TypeVar("Slot")


@dataclass(frozen=True)
class Task(Generic[Slot]):
    """Something to do in a slot (a GPU, a share of the cores); `needs`: names of tasks that must have ended well."""

    name: str
    action: Callable[[Slot], None]
    needs: tuple[str, ...] = ()


def run_tasks(tasks: Sequence[Task[Slot]], slots: Sequence[Slot], stop: Event) -> dict[str, str]:
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
    # An interrupt may come at any point of this thread. So it holds no lock that could stay locked, and does not ask
    # `Thread` what has ended: a thread that was interrupted while it was started or joined may be told wrongly.
    todo: list[SimpleQueue[Task[Slot] | None]] = [SimpleQueue() for _ in slots]
    ended: SimpleQueue[tuple[int, str, str | None]] = SimpleQueue()
    gone: list[int] = []

    def work(number: int) -> None:
        while task := todo[number].get():
            ended.put((number, task.name, None if stop.is_set() else _attempt(task, slots[number], stop)))
        gone.append(number)

    outcomes: dict[str, str] = {}
    ready = False
    try:
        for number in range(len(slots)):
            Thread(target=work, args=(number,), daemon=True).start()
        ready = True
        _hand_out(tasks, todo, ended, stop, outcomes)
    except BaseException:
        stop.set()
        raise
    finally:
        for queue in todo:
            queue.put(None)
        # Before, none of them has been given a task, and not all of them may be there.
        if ready:
            _wait_until(lambda: len(gone) == len(slots))
    return {task.name: outcomes[task.name] for task in tasks if task.name in outcomes}


def _hand_out(
    tasks: Sequence[Task[Slot]],
    todo: Sequence["SimpleQueue[Task[Slot] | None]"],
    ended: "SimpleQueue[tuple[int, str, str | None]]",
    stop: Event,
    outcomes: dict[str, str],
) -> None:
    """Give every task to a free slot's thread and collect its outcome, until nothing is left to do."""
    waiting, free = list(tasks), list(range(len(todo)))
    while True:
        while free and not stop.is_set() and (task := _next(waiting, outcomes)):
            waiting.remove(task)
            if failed := [name for name in task.needs if outcomes[name]]:
                outcomes[task.name] = f"not run, because {', '.join(failed)} failed"
            else:
                todo[free.pop(0)].put(task)
        if len(free) == len(todo):
            return
        try:
            # With a timeout, because some systems do not interrupt a wait without one.
            number, name, outcome = ended.get(timeout=1)
        except Empty:
            continue
        free.append(number)
        if outcome is not None:
            outcomes[name] = outcome


def _attempt(task: Task[Slot], slot: Slot, stop: Event) -> str | None:
    """What went wrong, empty if nothing did; None if the action ended because of `stop`."""
    try:
        task.action(slot)
    except BaseException as error:
        return None if stop.is_set() else str(error) or type(error).__name__
    return ""


def _next(waiting: Sequence[Task[Slot]], outcomes: Mapping[str, str]) -> Task[Slot] | None:
    return next((task for task in waiting if all(name in outcomes for name in task.needs)), None)


def _wait_until(condition: Callable[[], bool]) -> None:
    """However often it is interrupted."""
    while True:
        try:
            while not condition():
                time.sleep(0.02)
            return
        except KeyboardInterrupt:
            continue
