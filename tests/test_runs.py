import io
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.runs.command import installed_script, run_command
from nnssl_plugin.runs.folder import locked_folder
from nnssl_plugin.runs.output import Condenser, LiveLine, clock
from nnssl_plugin.runs.processes import MARK, end_command, new_mark


def test_an_interrupt_ends_the_command_and_its_workers(tmp_path: Path) -> None:
    class Interrupted(LiveLine):
        def show(self, text: str | None) -> None:
            if text == "working":
                raise KeyboardInterrupt

    # The worker holds the pipe, as a loader's worker does that outlives the process that started it.
    code = (
        "import subprocess, sys, time; worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open('pid', 'w').write(str(worker.pid)); print('working', flush=True); time.sleep(60)"
    )
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_command(("python", "-c", code), tmp_path, os.environ, tmp_path / "log", Interrupted(io.StringIO()))
    assert time.monotonic() - started < 30
    pid = int((tmp_path / "pid").read_text(encoding="utf-8"))
    for _ in range(50):
        if not _alive(pid):
            break
        time.sleep(0.1)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_command_that_has_ended_does_not_hide_what_went_wrong(tmp_path: Path) -> None:
    """The display fails once nothing of the command is left to end."""

    class Failing(LiveLine):
        def show(self, text: str | None) -> None:
            os.waitpid(int(text or "0"), 0)
            raise ValueError("the first error")

    with pytest.raises(ValueError, match="the first error"):
        run_command(
            ("python", "-c", "import os; print(os.getpid(), flush=True)"),
            tmp_path,
            os.environ,
            tmp_path / "log",
            Failing(),
        )


def test_workers_of_a_command_that_has_ended_are_ended(tmp_path: Path) -> None:
    """The parent is gone, so that nobody names its child, which still holds the pipe."""

    class Interrupted(LiveLine):
        def show(self, text: str | None) -> None:
            if text is None:
                raise KeyboardInterrupt

    code = (
        "import subprocess, sys; worker = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open('pid', 'w').write(str(worker.pid))"
    )
    with pytest.raises(KeyboardInterrupt):
        run_command(("python", "-c", code), tmp_path, os.environ, tmp_path / "log", Interrupted())
    assert not _alive(int((tmp_path / "pid").read_text()))


def test_other_commands_go_on_when_one_is_ended(tmp_path: Path) -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours, other = new_mark(tmp_path), new_mark(tmp_path)
    processes = [subprocess.Popen(sleep, env={**os.environ, MARK: mark}) for mark in (ours, other)]
    try:
        end_command(ours)
        assert not _alive(processes[0].pid)
        assert processes[1].poll() is None
    finally:
        processes[1].kill()
        processes[1].wait()


def test_a_command_that_is_not_installed_is_named():
    with pytest.raises(InputError, match="no_such_command"):
        installed_script("no_such_command")


def test_commands_are_those_of_this_python():
    assert Path(installed_script("nnUNetv2_train")).parent == Path(sys.executable).parent


class TestFolder:
    def test_new_and_own_folders_are_taken(self, tmp_path):
        for _ in range(2):
            with locked_folder(tmp_path / "new" / "demo one", "demo"):
                pass
        (tmp_path / "empty").mkdir()
        with locked_folder(tmp_path / "empty", "demo"):
            pass

    def test_a_folder_with_other_files_is_refused_and_left_alone(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("years of work")
        with pytest.raises(InputError, match="not a demo's"), locked_folder(tmp_path, "demo"):
            pass
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]

    def test_a_file_is_refused(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(InputError, match="is a file"), locked_folder(tmp_path / "file", "demo"):
            pass

    def test_two_demos_do_not_work_in_one_folder(self, tmp_path):
        with (
            locked_folder(tmp_path, "demo"),
            pytest.raises(InputError, match="another demo"),
            locked_folder(tmp_path, "demo"),
        ):
            pass

    def test_what_was_left_running_keeps_the_folder_locked(self, tmp_path):
        """A worker whose parents have ended, in a folder below."""
        folder = tmp_path / "demo"
        (folder / "study").mkdir(parents=True)
        (folder / "nnssl_plugin_demo").touch()
        left = subprocess.Popen(
            [sys.executable, "-c", "import time; time.sleep(60)"],
            env={**os.environ, MARK: new_mark(folder / "study")},
        )
        try:
            with pytest.raises(InputError, match="left running"), locked_folder(folder, "demo"):
                pass
            with locked_folder(tmp_path / "other", "demo"):
                pass
        finally:
            left.kill()
            left.wait()
        with locked_folder(folder, "demo"):
            pass


class TestOutput:
    def test_of_a_training_epochs_and_losses_are_shown(self):
        condenser = Condenser()
        stamp = "2026-01-02 03:04:05.678901: "
        assert condenser.short("Using device: cpu\n") == "Using device: cpu"
        assert condenser.short(f"{stamp}Epoch 3\n") == "epoch 4"
        assert condenser.short(f"{stamp}Current learning rate: 0.01\n") is None
        assert condenser.short(f"{stamp}train_loss -0.12\n") == "epoch 4: train_loss -0.12"
        assert condenser.short(f"{stamp}Training done.\n") == "Training done."
        assert condenser.short("predicting CASE\n") == "predicting CASE"
        assert condenser.short("\n") is None

    def test_a_log_gets_few_lines(self):
        stream = io.StringIO()
        live = LiveLine(stream)
        for i in range(1000):
            live.show(f"line {i}")
        assert stream.getvalue() == ""
        live.written -= 60
        live.show("a line after a minute")
        assert stream.getvalue().endswith("a line after a minute\n")

    def test_a_terminal_line_is_rewritten_and_fits(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "40")
        stream = io.StringIO()
        stream.isatty = lambda: True
        live = LiveLine(stream)
        live.show("x" * 200)
        live.show(None)
        lines = stream.getvalue().split("\r\033[K")[1:]
        assert lines[0] == lines[1]
        assert len(lines[0]) == 39

    def test_clock(self):
        assert [clock(seconds) for seconds in (0, 59.9, 60, 3601)] == ["0:00", "0:59", "1:00", "60:01"]


def test_nothing_is_used_that_windows_lacks() -> None:
    tree = Path(__file__).parents[1] / "nnssl_plugin"
    for path in [*tree.glob("runs/*.py"), *tree.glob("study/*.py"), *tree.glob("demo/*.py")]:
        assert "fcntl" not in path.read_text(encoding="utf-8"), path
        assert "killpg" not in path.read_text(encoding="utf-8"), path
