import io
import sys

import pytest

from nnssl_plugin.cli import main
from nnssl_plugin.commands import show


def test_what_an_encoding_lacks_is_printed_in_its_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    monkeypatch.setattr(show, "run", lambda _: print("T1 ← \udcfc.nii.gz") or 0)
    assert main(["show", "file"]) == 0
    assert written.getvalue().decode("ascii").strip() == r"T1 \u2190 \udcfc.nii.gz"


@pytest.mark.parametrize("terminal", [True, False])
def test_an_error_is_whole_and_coloured_on_a_terminal_only(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["show", "a file that is not there [1].pth"]) == 2
    assert "a file that is not there [1].pth" in stream.getvalue()
    assert stream.getvalue().count("\n") == 1
    assert ("\x1b[" in stream.getvalue()) == terminal
