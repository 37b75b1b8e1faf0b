"""An installed command as a process that is watched, logged, and ended with all that it started."""

import queue
import shutil
import subprocess
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import psutil

from nnssl_plugin.errors import InputError
from nnssl_plugin.runs.output import Condenser
from nnssl_plugin.runs.processes import MARK, end_command, new_mark

# Windows' counterpart of a session: an interrupt at the keyboard goes to this process only.
NEW_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


class Display(Protocol):
    """Shows what a command is doing."""

    def show(self, text: str | None) -> None:
        """Called with every line worth showing, and with None each second without one; what it raises ends the command."""


def installed_script(name: str) -> str:
    """Path of a command that was installed with this Python, whatever `PATH` says.

    Raises:
        InputError: it is not installed here.
    """
    scripts = sysconfig.get_path("scripts")
    path = shutil.which(name, path=scripts)
    if path is None:
        raise InputError(f"no command {name} in {scripts}: install the plugin, and nnU-Net with it, with pip")
    return path


def run_command(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    log: Path,
    display: Display,
    cores: Sequence[int] = (),
) -> int:
    """Run an installed command and show its progress; returns its exit code.

    Args:
        command: name of an installed script, and its arguments.
        folder: where it runs; `locked_folder` refuses this folder as long as anything of the command runs.
        environment: of the command.
        log: the full output is appended to it.
        display: shows the condensed output.
        cores: of the CPU that the command and its workers stay on; by default any.
    """
    mark = new_mark(folder)
    with (
        log.open("a", encoding="utf-8") as record,
        subprocess.Popen(
            [installed_script(command[0]), *command[1:]],
            cwd=folder,
            env={**environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            # An interrupt at the keyboard is for this process, which ends the command.
            start_new_session=True,
            creationflags=NEW_GROUP,
        ) as process,
    ):
        try:
            _stay_on(process, cores)
            assert process.stdout is not None
            lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
            threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
            condenser = Condenser()
            while True:
                try:
                    line = lines.get(timeout=1)
                except queue.Empty:
                    display.show(None)
                    continue
                if line is None:
                    break
                record.write(line)
                record.flush()
                display.show(condenser.short(line))
            return process.wait()
        except BaseException:
            end_command(mark)
            raise


def _stay_on(process: "subprocess.Popen[str]", cores: Sequence[int]) -> None:
    """Before Python has started there: what the command starts later inherits it. Some systems pin no process."""
    if cores and hasattr(psutil.Process, "cpu_affinity"):
        # It may have ended already.
        with suppress(psutil.NoSuchProcess):
            psutil.Process(process.pid).cpu_affinity(list(cores))


def _forward(stream: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
