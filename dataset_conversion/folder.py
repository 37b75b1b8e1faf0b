"""Any folder of scans, by a file-name pattern per modality or by a table.

`python dataset_conversion/folder.py …` is `nnssl_plugin convert folder …`.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from nnssl_plugin.conversion.case import Findings
from nnssl_plugin.conversion.cases_table import cases_from_table
from nnssl_plugin.conversion.convert import convert_cases
from nnssl_plugin.conversion.file_patterns import cases_by_patterns, channels_of, patient_by
from nnssl_plugin.conversion.label_scheme import LABEL, LabelScheme
from nnssl_plugin.conversion.options import ConversionOptions
from nnssl_plugin.conversion.scan import Picture
from nnssl_plugin.conversion.sessions import hint_of_sessions
from nnssl_plugin.errors import InputError

COMMAND = "nnssl_plugin convert folder"


def convert(
    folder: Path,
    modalities: Mapping[str, str],
    label: str | None,
    label_scheme: LabelScheme | None,
    patient: str | None,
    options: ConversionOptions,
) -> int:
    """Convert a folder by patterns.

    Args:
        folder: searched with everything below it.
        modalities: name → pattern, in channel order; see `cases_by_patterns`.
        label: pattern of the segmentations; without one all cases are unlabelled.
        label_scheme: what the values of the segmentations mean; None to make each value a class.
        patient: regular expression whose first group, searched in the case name, is the patient; None if each case is
            another patient.
        options: where to and how.

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
        channels = channels_of([role])
        if not problems and not any(channels[0] in case.scans for case in cases):
            raise InputError(f"no file below {folder} matches {pattern!r} ({role})")
    statements = [f"{role}: files {pattern}" for role, pattern in patterns.items()] + hint_of_sessions(cases)
    if any(isinstance(scan, Picture) for case in cases for scan in case.scans.values()):
        statements.append(
            "pictures become volumes of one slice; they state no spacing: 1 a pixel, so distances are in pixels"
        )
    if label_scheme and label_scheme.recoded:
        statements.append(
            "label values: " + ", ".join(f"{old} becomes {new}" for old, new in label_scheme.recoded.items())
        )
    found = Findings(cases, problems, channels_of(modalities), label_scheme, _name_of(folder), COMMAND, statements)
    return convert_cases(found, options)


def convert_table(table: Path, folder: Path, label_scheme: LabelScheme | None, options: ConversionOptions) -> int:
    """Convert what a table lists; see `cases_from_table`.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: as `cases_from_table` and `convert_cases`.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    listed = cases_from_table(table, folder)
    if label_scheme is not None and not any(case.label for case in listed.cases):
        raise InputError(f"--regions and --label-name say what segmentations mean, but {table} has no row of a {LABEL}")
    statements = [f"files as listed in {table.name}; channels in the order of its rows"]
    if listed.ignored:
        statements.append(f"columns not kept, because a case has several values in them: {', '.join(listed.ignored)}")
    statements += hint_of_sessions(listed.cases)
    found = Findings(
        listed.cases, listed.problems, listed.modalities, label_scheme, _name_of(folder), COMMAND, statements
    )
    return convert_cases(found, options)


def _name_of(folder: Path) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "", folder.resolve().name)


if __name__ == "__main__":
    from nnssl_plugin.cli import main

    sys.exit(main(["convert", "folder", *sys.argv[1:]]))
