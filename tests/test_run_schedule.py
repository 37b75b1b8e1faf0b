import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nnssl_plugin.runs.schedule import Task, run_tasks


def test_order_and_slots() -> None:
    """Two slots: never more than two at a time, none before what it needs."""
    running, most, ended = 0, 0, []
    lock = threading.Lock()

    def action(name: str):
        def act(slot: str) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.02)
            with lock:
                running -= 1
                ended.append(name)

        return act

    needs = {"a": (), "b": (), "c": ("a",), "d": ("a", "b"), "e": ("d",)}
    outcomes = run_tasks([Task(n, action(n), need) for n, need in needs.items()], ["gpu0", "gpu1"], threading.Event())
    assert outcomes == dict.fromkeys("abcde", "")
    assert most == 2
    for name, need in needs.items():
        assert all(ended.index(other) < ended.index(name) for other in need)


def test_a_failure_stops_only_what_needs_it() -> None:
    done = []

    def fail(_: int) -> None:
        raise ValueError("no disk")

    tasks = [
        Task("bad", fail),
        Task("needs bad", lambda _: done.append("needs bad"), ("bad",)),
        Task("needs that", lambda _: done.append("needs that"), ("needs bad",)),
        Task("good", lambda _: done.append("good")),
    ]
    outcomes = run_tasks(tasks, [0], threading.Event())
    assert outcomes["bad"] == "no disk"
    assert outcomes["needs bad"] == "not run, because bad failed"
    assert outcomes["needs that"] == "not run, because needs bad failed"
    assert outcomes["good"] == ""
    assert done == ["good"]


def test_every_slot_is_used() -> None:
    used = set()
    barrier = threading.Barrier(3, timeout=10)

    def act(slot: int) -> None:
        used.add(slot)
        barrier.wait()

    run_tasks([Task(str(i), act) for i in range(3)], [0, 1, 2], threading.Event())
    assert used == {0, 1, 2}


def test_a_stop_begins_nothing_more() -> None:
    stop, begun = threading.Event(), []

    def act(_: int) -> None:
        begun.append(1)
        stop.set()
        raise RuntimeError("ended because of the stop")

    assert run_tasks([Task("a", act), Task("b", act)], [0], stop) == {}
    assert len(begun) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_running_actions(tmp_path: Path, number: int) -> None:
    """A process of its own gets a real signal while it waits."""
    code = """
import signal, sys, threading, time
from pathlib import Path
from nnssl_plugin.runs.schedule import Task, run_tasks
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler)
stop, folder = threading.Event(), Path(sys.argv[1])
def act(slot):
    (folder / "begun").touch()
    while not stop.is_set():
        time.sleep(0.01)
    time.sleep(0.5)
    (folder / "ended").touch()
try:
    run_tasks([Task("a", act), Task("b", lambda slot: (folder / "second").touch())], [0], stop)
except KeyboardInterrupt:
    sys.exit(42 if (folder / "ended").exists() else 1)
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait(timeout=60) == 42
    finally:
        process.kill()
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_as_the_first_action_begins_waits_for_it(number: int) -> None:
    """The signal comes from the action itself: the thread that began it has not come to waiting yet."""
    code = """
import os, signal, sys, threading, time
from nnssl_plugin.runs.schedule import Task, run_tasks
number = int(sys.argv[1])
signal.signal(number, signal.default_int_handler)
for _ in range(20):
    stop, ended = threading.Event(), []
    def act(slot):
        os.kill(os.getpid(), number)
        while not stop.is_set():
            time.sleep(0.001)
        time.sleep(0.02)
        ended.append(slot)
    try:
        run_tasks([Task("a", act)], [0], stop)
    except KeyboardInterrupt:
        assert ended, "the action is still running"
    else:
        raise AssertionError("the interrupt was lost")
"""
    subprocess.run([sys.executable, "-c", code, str(int(number))], check=True, timeout=120)


def test_an_action_may_end_in_any_way() -> None:
    """One that leaves its thread by SystemExit fails, and does not take the others with it."""
    done = []
    outcomes = run_tasks(
        [Task("bad", lambda _: sys.exit("gone")), Task("good", lambda _: done.append(1))], [0], threading.Event()
    )
    assert outcomes == {"bad": "gone", "good": ""}
    assert done == [1]
