"""What a person sees of a running command: its last line worth showing, with the time it has taken."""

import re
import shutil
import sys
from pathlib import Path
from time import monotonic
from typing import TextIO

TIMESTAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?: ")
EPOCH = re.compile(r"Epoch (\d+)")
TRAINING_ENDS = "Training done."
LOSSES = ("train_loss", "loss")
# Where there is no terminal whose line could be rewritten, a line this often keeps a log readable.
SECONDS_BETWEEN_LINES = 10.0
LAST_LINES = 20


def clock(seconds: float) -> str:
    """Minutes and seconds, as in 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def last_lines(log: Path) -> str:
    """The end of a log, and where it is, for a message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return f"The last lines of its log, {log}:\n" + "\n".join(f"    {line}" for line in lines)


class Condenser:
    """Shortens the output of a command to the lines worth showing: of nnU-Net's training, epochs and losses."""

    def __init__(self) -> None:
        self.epoch: str | None = None

    def short(self, line: str) -> str | None:
        """What of `line` is worth showing, if anything."""
        line = TIMESTAMP.sub("", line).strip()
        if match := EPOCH.fullmatch(line):
            self.epoch = f"epoch {int(match[1]) + 1}"
            return self.epoch
        if line == TRAINING_ENDS:
            self.epoch = None
        if self.epoch:
            return f"{self.epoch}: {line}" if line.startswith(LOSSES) else None
        return line or None


class LiveLine:
    """The last line of something that runs: rewritten in place on a terminal, repeated now and then elsewhere."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.started = monotonic()
        self.written = self.started
        self.text = ""

    def show(self, text: str | None) -> None:
        """Show `text`; None keeps the last one and moves the clock."""
        self.text = text or self.text
        now = monotonic()
        line = f"      {clock(now - self.started):>5}  {self.text}"[: shutil.get_terminal_size().columns - 1]
        if self.stream.isatty():
            self.stream.write(f"\r\033[K{line}")
        elif text and now - self.written >= SECONDS_BETWEEN_LINES:
            self.stream.write(f"{line}\n")
            self.written = now
        self.stream.flush()

    def clear(self) -> None:
        """Clear the line, for something else to be printed."""
        if self.stream.isatty():
            self.stream.write("\r\033[K")
            self.stream.flush()

    def end(self) -> float:
        """Clear the line; returns the seconds since the start."""
        self.clear()
        return monotonic() - self.started
