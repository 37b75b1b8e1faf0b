"""Findings by prompts: texts that say a finding is there, and texts that say it is not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nnssl_plugin.errors import InputError


@dataclass(frozen=True)
class Finding:
    """Prompts of a finding; those of a side are averaged."""

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]


def read_findings(path: Path) -> list[Finding]:
    """Read a YAML file: `opacity: {positive: [opacity in the lung], negative: [clear lungs]}` for each finding.

    Raises:
        InputError: it cannot be read, or a finding lacks a side.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path} names no finding; expected NAME: {{positive: [TEXT, …], negative: [TEXT, …]}}")
    return [_finding(str(name), entry, path) for name, entry in content.items()]


def _finding(name: str, entry: Any, path: Path) -> Finding:
    sides = []
    for side in ("positive", "negative"):
        texts = entry.get(side) if isinstance(entry, dict) else None
        texts = [texts] if isinstance(texts, str) else texts
        if (
            not isinstance(texts, list)
            or not texts
            or not all(isinstance(text, str) and text.strip() for text in texts)
        ):
            raise InputError(f"{path}: {name} needs {side}: [TEXT, …]")
        sides.append(tuple(texts))
    return Finding(name, *sides)
