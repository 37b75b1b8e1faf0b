"""The true classes of cases, from a table."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnssl_plugin.errors import InputError

# Whose a case is, in tables of ours and of others.
GROUPS = ("patient", "group")


@dataclass(frozen=True)
class TrueClasses:
    """What a table says. `classes`: case → column → class, empty fields left out; `groups`: case → patient, else the case."""

    classes: dict[str, dict[str, str]]
    groups: dict[str, str]


def read_true_classes(table: Path, columns: Sequence[str]) -> TrueClasses:
    """Read a CSV table with a column `case` and these columns.

    Raises:
        InputError: it cannot be read, lacks a column, or a case is listed twice.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            rows, header = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read: {error}") from None
    if missing := [column for column in ("case", *columns) if column not in header]:
        raise InputError(f"{table} has no column {', '.join(missing)}; it has {', '.join(header)}")
    group = next((name for name in GROUPS if name in header), "case")
    classes: dict[str, dict[str, str]] = {}
    groups: dict[str, str] = {}
    for line, row in enumerate(rows, start=2):
        case = (row["case"] or "").strip()
        if case in classes:
            raise InputError(f"{table}, line {line}: case {case} is listed twice")
        classes[case] = {column: text for column in columns if (text := (row[column] or "").strip())}
        groups[case] = (row[group] or "").strip() or case
    return TrueClasses(classes, groups)
