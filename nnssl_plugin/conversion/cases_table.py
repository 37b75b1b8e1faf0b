"""A CSV file that says which file is which: `case,patient,modality,path`, and anything else that is known of a case."""

import os
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

from nnssl_plugin.conversion.case import Case, Problems, collect_cases
from nnssl_plugin.conversion.csv_rows import csv_rows
from nnssl_plugin.conversion.dicom import DicomFolder
from nnssl_plugin.conversion.label_scheme import LABEL
from nnssl_plugin.conversion.scan import Scan, scan_of
from nnssl_plugin.errors import InputError

COLUMNS = ("case", "patient", "modality", "path")


@dataclass(frozen=True)
class CasesTable:
    """What a table says.

    Attributes:
        cases: with `about` from the further columns.
        problems: of those that are left out.
        modalities: in the order of their first rows, which is the channel order.
        ignored: further columns that say several things of one case, like a scan's date.
    """

    cases: list[Case]
    problems: Problems
    modalities: list[str]
    ignored: list[str]


def cases_from_table(table: Path, folder: Path) -> CasesTable:
    """Cases of a table with one row per scan.

    Args:
        table: with the columns `COLUMNS`; modality `label` for segmentations, a folder as path for a DICOM series. An
            empty patient means that the case is a patient of its own. What further columns say is kept with the case.
        folder: that relative paths start from.

    Raises:
        InputError: the table cannot be read or contradicts itself.
    """
    scans: list[tuple[str, str, Scan]] = []
    patients: dict[str, str] = {}
    about: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    absent: Problems = {}
    spellings: dict[str, str] = {}
    for line, row in csv_rows(table, COLUMNS):
        case, patient, modality, path = (row[column] for column in COLUMNS)
        modality = LABEL if modality.lower() == LABEL else modality
        if not case or not modality or not path or "/" in case or "\\" in case:
            raise InputError(f"{table}, line {line}: case, modality and path must be given, and no / be in the case")
        if patients.setdefault(case, patient) != patient:
            several = " and of ".join(name or "nobody (empty)" for name in (patients[case], patient))
            raise InputError(f"{table}, line {line}: case {case} is of {several}")
        if spellings.setdefault(modality.lower(), modality) != modality:
            raise InputError(f"{table}, line {line}: modality {modality} is {spellings[modality.lower()]} elsewhere")
        for column, text in row.items():
            if column not in COLUMNS and text:
                about[case][column].add(text)
        source = folder / path
        if os.path.isdir(source) or os.path.isfile(source):
            scans.append((case, modality, scan_of(source) if os.path.isfile(source) else DicomFolder(source)))
        else:
            absent.setdefault(case, []).append(f"{modality}: there is no {source} ({table.name}, line {line})")
    modalities = [modality for modality in spellings.values() if modality != LABEL]
    if not any(role != LABEL for _, role, _ in scans):
        raise InputError(f"{table} names no image that exists below {folder}")
    cases, problems = collect_cases(scans, modalities, lambda case: patients[case] or None)
    for case, missing in absent.items():
        problems[case] = [*problems.get(case, []), *missing]
    ignored = {column for columns in about.values() for column, texts in columns.items() if len(texts) > 1}
    told = [
        replace(case, about={column: min(texts) for column, texts in about[case.name].items() if column not in ignored})
        for case in cases
        if case.name not in problems
    ]
    return CasesTable(told, problems, modalities, sorted(ignored))
