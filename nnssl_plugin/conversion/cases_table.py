"""A CSV file that says which file is which: `case,patient,modality,path`."""

import csv
from pathlib import Path

from nnssl_plugin.conversion.case import LABEL, Case, Problems, collect_cases
from nnssl_plugin.conversion.dicom import DicomFolder
from nnssl_plugin.conversion.scan import ImageFile, Scan
from nnssl_plugin.errors import InputError

COLUMNS = ("case", "patient", "modality", "path")


def cases_from_table(table: Path, folder: Path) -> tuple[list[Case], Problems, list[str]]:
    """Cases of a table with one row per scan.

    Args:
        table: with the columns `COLUMNS`; modality `label` for segmentations, a folder as path for a DICOM series. An
            empty patient means that the case is its own.
        folder: that relative paths start from.

    Returns:
        The cases; the problems of those that are left out; the modalities in the order of their first rows, which is
        the channel order.

    Raises:
        InputError: the table cannot be read or contradicts itself.
    """
    scans: list[tuple[str, str, Scan]] = []
    patients: dict[str, str] = {}
    absent: Problems = {}
    spellings: dict[str, str] = {}
    for number, row in enumerate(_rows(table), start=2):
        case, patient, modality, path = (row[column].strip() for column in COLUMNS)
        modality = LABEL if modality.lower() == LABEL else modality
        if not case or not modality or not path or "/" in case or "\\" in case:
            raise InputError(f"{table}, line {number}: case, modality and path must be given, and no / be in the case")
        if patients.setdefault(case, patient or case) != (patient or case):
            raise InputError(f"{table}, line {number}: case {case} is of {patients[case]} and of {patient or case}")
        if spellings.setdefault(modality.lower(), modality) != modality:
            raise InputError(f"{table}, line {number}: modality {modality} is {spellings[modality.lower()]} elsewhere")
        source = folder / path
        if source.exists():
            scans.append((case, modality, ImageFile(source) if source.is_file() else DicomFolder(source)))
        else:
            absent.setdefault(case, []).append(f"{modality}: there is no {source} ({table.name}, line {number})")
    modalities = [modality for modality in spellings.values() if modality != LABEL]
    if not any(role != LABEL for _, role, _ in scans):
        raise InputError(f"{table} names no image that exists below {folder}")
    cases, problems = collect_cases(scans, modalities, patients.__getitem__)
    for case, missing in absent.items():
        problems[case] = [*problems.get(case, []), *missing]
    return [case for case in cases if case.name not in problems], problems, modalities


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            if set(COLUMNS) - set(reader.fieldnames or ()):
                raise InputError(
                    f"{table} has the columns {', '.join(reader.fieldnames or ())}; expected {', '.join(COLUMNS)}"
                )
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read: {error}") from None
