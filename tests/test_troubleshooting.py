import re
from pathlib import Path

import batchgenerators
import nnunetv2

import nnssl_plugin

ROOT = Path(__file__).parents[1]
# Torch builds its message in C++.
OF_TORCH = {"CUDA out of memory"}


def code_of(*packages: object) -> str:
    """All of it, with messages that are broken over lines joined."""
    files = [file for package in packages for file in Path(package.__file__).parent.rglob("*.py")]  # type: ignore[attr-defined]
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted(files))
    return re.sub(r'"\s*\\?\s*f?"', "", re.sub(r"\{[^{}\n]*\}", "…", text))


def test_every_message_is_one_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = {found for line in page.splitlines() for found in re.findall(r"^\| `([^`]+)`", line)} - OF_TORCH
    code = code_of(nnssl_plugin, nnunetv2, batchgenerators)
    shown = {message: re.sub(r"nnUNet_raw|SSLPretrainTrainer", "…", message) for message in messages}
    assert len(messages) > 15
    assert {message for message, text in shown.items() if text not in code} == set()
