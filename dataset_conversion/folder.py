"""Any folder of scans, by a file-name pattern per modality or by a table.

`python dataset_conversion/folder.py …` is `nnssl_plugin convert folder …`.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from nnssl_plugin.conversion.case import LABEL, Findings
from nnssl_plugin.conversion.cases_table import cases_from_table
from nnssl_plugin.conversion.convert import Target, convert_cases
from nnssl_plugin.conversion.file_patterns import cases_by_patterns, patient_by
from nnssl_plugin.conversion.label_scheme import LabelScheme
from nnssl_plugin.errors import InputError

COMMAND = "nnssl_plugin convert folder"


def convert(
    folder: Path,
    modalities: Mapping[str, str],
    label: str | None,
    labels: LabelScheme | None,
    patient: str | None,
    target: Target,
) -> int:
    """Convert a folder by patterns.

    Args:
        folder: searched with everything below it.
        modalities: name → pattern, in channel order; see `cases_by_patterns`.
        label: pattern of the segmentations; without one all cases are unlabelled.
        labels: what the values of the segmentations mean; None to make each value a class.
        patient: regular expression whose first group, searched in the case name, is the patient; None if each case is
            another patient.
        target: where to and how.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: the patterns fit no file or do not tell files apart, or as `convert_cases`.
    """
    patterns = {**modalities, **({LABEL: label} if label else {})}
    if label and LABEL in modalities:
        raise InputError(f"a modality cannot be called {LABEL!r}: give it another name")
    cases, problems = cases_by_patterns(folder, modalities, label, patient_by(patient))
    for role, pattern in patterns.items():
        if not problems and not any(role in case.scans for case in cases):
            raise InputError(f"no file below {folder} matches {pattern!r} ({role})")
    statements = [f"{role}: files {pattern}" for role, pattern in patterns.items()]
    found = Findings(cases, problems, list(modalities), labels, _name_of(folder), COMMAND, statements)
    return convert_cases(found, target)


def convert_table(table: Path, folder: Path, labels: LabelScheme | None, target: Target) -> int:
    """Convert what a table lists; see `cases_from_table`.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: as `cases_from_table` and `convert_cases`.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    cases, problems, modalities = cases_from_table(table, folder)
    if labels is not None and not any(case.label for case in cases):
        raise InputError(f"--regions and --label-name say what segmentations mean, but {table} has no row of a {LABEL}")
    statements = [f"files as listed in {table.name}; channels in the order of its rows"]
    found = Findings(cases, problems, modalities, labels, _name_of(folder), COMMAND, statements)
    return convert_cases(found, target)


def _name_of(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "", folder.resolve().name)


if __name__ == "__main__":
    from nnssl_plugin.cli import main

    sys.exit(main(["convert", "folder", *sys.argv[1:]]))
