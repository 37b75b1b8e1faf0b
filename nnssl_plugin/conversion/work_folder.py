"""What an interrupted conversion has done already, case by case."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.checked import CheckedCase, CheckedScan
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json


def source_state(case: Case) -> dict[str, list[list[Any]]]:
    """Role → path, bytes and time of change of every file of the case; a changed source is converted again."""
    state = {}
    sources = {role: scan.files for role, scan in case.scans.items()}
    for role, files in [*sources.items(), *((name, (file,)) for name, file in case.files.items())]:
        stats = [(file, file.stat()) for file in files]
        state[role] = [[os.path.abspath(file), stat.st_size, stat.st_mtime_ns] for file, stat in stats]
    return state


def json_hash(content: Any) -> str:
    """Hash of anything JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


class WorkFolder:
    """Hidden folder beside the data sets in which they grow; nnU-Net does not look into it.

    Each case leaves a record once it is checked, and one once it is written; what has no record is done again. A
    conversion with other settings starts afresh.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        if path.exists() and self._read("settings.json") != {"hash": json_hash(settings)}:
            shutil.rmtree(path)
        self.resumed = (path / "settings.json").is_file()
        path.mkdir(parents=True, exist_ok=True)
        self._write("settings.json", {"hash": json_hash(settings)})

    def checked(self, case: Case) -> CheckedCase | None:
        """What an earlier run saw of a case whose files have not changed since."""
        content = self._record(f"checked/{case.name}.json", case)
        if content is None:
            return None
        scans = {role: CheckedScan(**scan) for role, scan in content["scans"].items()}
        return CheckedCase(content["problems"], content["values"], scans)

    def save_checked(self, case: Case, checked: CheckedCase) -> None:
        """Record a checked case."""
        self._write(f"checked/{case.name}.json", {"sources": source_state(case), "content": asdict(checked)})

    def written(self, dataset: str, case: Case, ending: str) -> dict[str, Any] | None:
        """How an earlier run placed the files of a case, with this ending, all of which are still there."""
        content = self._record(f"written/{dataset}/{case.name}.json", case)
        if content is None:
            return None
        files = [self.path / dataset / placed["file"] for placed in content.values()]
        return content if all(file.is_file() and file.name.endswith(ending) for file in files) else None

    def save_written(self, dataset: str, case: Case, content: Mapping[str, Any]) -> None:
        """Record a written case."""
        self._write(f"written/{dataset}/{case.name}.json", {"sources": source_state(case), "content": content})

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _record(self, name: str, case: Case) -> dict[str, Any] | None:
        record = self._read(name)
        return record["content"] if record and record["sources"] == source_state(case) else None

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.path / name
        try:
            return dict(read_json(path)) if path.is_file() else None
        except InputError:
            return None

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(content, path)
