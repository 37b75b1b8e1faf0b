import os
import queue
import shutil
import signal
import subprocess
import sysconfig
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from nnssl_plugin.errors import InputError
from nnssl_plugin.runs.output import Condenser


class Display(Protocol):
    """Shows what a command is doing."""

    def show(self, text: str | None) -> None:
        """Called with every telling line, and with None each second without one; what it raises ends the command."""


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
    live: Display,
    epochs: int | None = None,
    keep_open: Sequence[int] = (),
    cores: Sequence[int] = (),
) -> int:
    """Run an installed command and show its progress; returns its exit code.

    Args:
        command: name of an installed script, and its arguments.
        folder: where it runs.
        environment: of the command.
        log: the full output is appended to it.
        live: shows the condensed output.
        epochs: of a training, to be shown.
        keep_open: file descriptors that the command and its workers hold until they have ended.
        cores: of the CPU that the command and its workers stay on; by default any.
    """
    with (
        log.open("a", encoding="utf-8") as record,
        subprocess.Popen(
            [installed_script(command[0]), *command[1:]],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            pass_fds=keep_open,
            # A process group of its own, so that an interrupt can end the command's worker processes with it.
            start_new_session=True,
        ) as process,
    ):
        assert process.stdout is not None
        if cores and hasattr(os, "sched_setaffinity"):
            # Before Python has started: what the command starts later inherits it.
            os.sched_setaffinity(process.pid, cores)
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=_forward, args=(process.stdout, lines), daemon=True).start()
        condenser = Condenser(epochs)
        try:
            while True:
                try:
                    line = lines.get(timeout=1)
                except queue.Empty:
                    live.show(None)
                    continue
                if line is None:
                    break
                record.write(line)
                record.flush()
                live.show(condenser.telling(line))
            return process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            raise


def _forward(stream: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
