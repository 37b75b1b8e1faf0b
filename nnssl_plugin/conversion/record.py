"""`conversion.json`: what a conversion decided about every case, kept in the data sets it made."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnssl_plugin import __version__
from nnssl_plugin.conversion.case import Findings, Problems
from nnssl_plugin.conversion.dataset import Dataset
from nnssl_plugin.conversion.label_scheme import LABEL
from nnssl_plugin.conversion.write_case import Placed
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.nnunet.environment import folder_of

FILE = "conversion.json"


@dataclass(frozen=True)
class Conversion:
    """One run of a converter. `settings`: JSON-ready. `source_hash`: of them and of the state of all source files."""

    found: Findings
    settings: Mapping[str, Any]
    source_hash: str


def write_record(
    folder: Path,
    conversion: Conversion,
    datasets: Sequence[Dataset],
    placed: Mapping[str, Mapping[str, Placed]],
    problems: Problems,
    warnings: Sequence[str],
) -> None:
    """Write `conversion.json` of all `datasets` of a conversion into the folder of one of them."""
    cases: dict[str, Any] = {}
    labelled = {case.name for case in conversion.found.cases if case.label}
    for dataset in datasets:
        for case in dataset.cases:
            seen = dataset.checked[case.name].scans
            files: dict[str, Any] = {}
            for role, made in placed[dataset.folder_name][case.name].items():
                files[role] = dict(made)
                if role in case.scans:
                    files[role]["source"] = str(case.scans[role])
                if role in seen and not (role == LABEL and dataset.label_scheme is None):
                    files[role].update(asdict(seen[role]))
            cases[case.name] = {
                "dataset": dataset.folder_name,
                "patient": case.patient,
                "patient_known": case.patient_known,
                "missing": dataset.missing(case),
                "label dropped": dataset.label_scheme is None and case.name in labelled,
                "files": files,
            }
    content = {
        "converted_by": conversion.found.converted_by,
        "nnssl_plugin": __version__,
        "source hash": conversion.source_hash,
        "settings": conversion.settings,
        "datasets": [dataset.folder_name for dataset in datasets],
        "decisions": list(conversion.found.statements),
        "warnings": list(warnings),
        "left out": problems,
        "cases": dict(sorted(cases.items())),
    }
    write_json(content, folder / FILE)


def finished_conversion(names: Sequence[tuple[int, str]], conversion: Conversion) -> int | None:
    """Exit code of an earlier run that made the same data sets of the same files with the same settings.

    Returns:
        None where there is none, or not all of its data sets are there still.
    """
    raw = folder_of("nnUNet_raw")
    for dataset_id, name in names:
        path = raw / f"Dataset{dataset_id:03d}_{name}" / FILE
        if not path.is_file():
            continue
        try:
            record = read_json(path)
        except InputError:
            continue
        if isinstance(record, dict) and record.get("source hash") == conversion.source_hash and _is_whole(record, raw):
            print(f"{' and '.join(record['datasets'])}: converted already from these files; nothing to do")
            return 1 if record["left out"] else 0
    return None


def _is_whole(record: Mapping[str, Any], raw: Path) -> bool:
    files = [raw / name / file for name in record["datasets"] for file in (FILE, "dataset.json")]
    for case in record["cases"].values():
        files += [raw / case["dataset"] / made["file"] for made in case["files"].values()]
    return all(file.is_file() for file in files)
