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
