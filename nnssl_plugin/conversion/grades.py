"""Tumour grades that come with BraTS: folders HGG and LGG, and `name_mapping*.csv`."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnssl_plugin.conversion.case import Case

FOLDERS = {"HGG": "HGG", "LGG": "LGG", "HG": "HGG", "LG": "LGG"}


def with_grades(cases: Sequence[Case], folder: Path, files: Iterable[Path]) -> tuple[list[Case], list[str]]:
    """Cases that know their grade where a folder or a table tells it.

    Args:
        cases: found in `folder`.
        folder: that was searched.
        files: all in it.

    Returns:
        The cases, and what was found, in words; a case of contradictory grades gets none and is named, and so is a table
        that cannot be read.
    """
    tables = [path for path in files if path.name.startswith("name_mapping") and path.suffix == ".csv"]
    tabled: dict[str, set[str]] = {}
    unread = []
    for table in tables:
        try:
            grades_by_name = _read(table)
        except (OSError, ValueError, csv.Error) as error:
            unread.append(f"WARNING: {table} cannot be read, so its grades are not known: {error}")
            continue
        for name, grade in grades_by_name.items():
            tabled.setdefault(name, set()).add(grade)
    graded, contradictory = [], []
    for case in cases:
        grades = tabled.get(case.name, set()).union(
            *(grades_of_folders(scan.files[0], folder) for scan in case.scans.values())
        )
        if len(grades) > 1:
            contradictory.append(f"{case.name} ({', '.join(sorted(grades))})")
        graded.append(replace(case, about={**case.about, "grade": grades.pop()}) if len(grades) == 1 else case)
    known = sum("grade" in case.about for case in graded)
    statements = [f"grades of {known} of {len(cases)} cases, in cases.csv"] if known else []
    if contradictory:
        statements.append(f"contradictory grades, left empty: {', '.join(contradictory)}")
    return graded, statements + unread


def grades_of_folders(file: Path, folder: Path) -> set[str]:
    """Grades that the folders tell in which a file lies, from `folder` on, which may itself be HGG."""
    return {FOLDERS[part] for part in (folder.resolve().name, *file.relative_to(folder).parts[:-1]) if part in FOLDERS}


def _read(table: Path) -> Mapping[str, str]:
    """Every name in the table → its grade: a row holds the names a patient had in each year."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    # The tables of validation cases tell no grades.
    return {
        name: row["Grade"]
        for row in rows
        for column, name in row.items()
        if column != "Grade" and isinstance(name, str) and name not in ("", "NA") and row.get("Grade")
    }
