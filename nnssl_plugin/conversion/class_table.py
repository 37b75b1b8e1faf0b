"""A table that says something of each case, like its class, and whose it is; one row a case."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nnssl_plugin.conversion.case import Case, Findings
from nnssl_plugin.conversion.csv_rows import csv_rows
from nnssl_plugin.errors import InputError

CASE = "case"
SHOWN = 5


@dataclass(frozen=True)
class TableOptions:
    """Which table a conversion reads.

    Attributes:
        file: CSV with a column `case`.
        columns: that are kept with each case.
        group: column that says whose a case is: a patient, an examination. Cases of one group stay together.
    """

    file: Path
    columns: tuple[str, ...] = ()
    group: str | None = None


@dataclass(frozen=True)
class TableRows:
    """What the table says. `about`: case → column → text, empty fields left out. `groups`: case → group."""

    about: Mapping[str, Mapping[str, str]]
    groups: Mapping[str, str]


def read_table(options: TableOptions) -> TableRows:
    """Read and check a table.

    Raises:
        InputError: a column is not there, a case stands twice with other values, or has no group, or a column has one value
            only, so that there is nothing to classify.
    """
    wanted = [*options.columns, *([options.group] if options.group else [])]
    if not wanted:
        raise InputError("--table needs --columns or --group: what of it is to be kept")
    about: dict[str, dict[str, str]] = {}
    groups: dict[str, str] = {}
    for line, row in csv_rows(options.file, [CASE, *wanted]):
        case = row[CASE]
        if not case:
            raise InputError(f"{options.file}, line {line}: no case is named")
        said = {column: row[column] for column in options.columns if row[column]}
        if about.setdefault(case, said) != said:
            raise InputError(f"{options.file}, line {line}: case {case} is listed before with other values")
        if options.group:
            if not row[options.group]:
                raise InputError(f"{options.file}, line {line}: case {case} has no {options.group}")
            if groups.setdefault(case, row[options.group]) != row[options.group]:
                raise InputError(
                    f"{options.file}, line {line}: case {case} is of {row[options.group]}, before of {groups[case]}"
                )
    for column in options.columns:
        values = {said[column] for said in about.values() if column in said}
        if len(values) < 2:
            raise InputError(
                f"{options.file}: column {column!r} has {f'one value only ({values.pop()!r})' if values else 'no value'}: "
                "there is nothing to classify"
            )
    return TableRows(about, groups)


def with_table(found: Findings, options: TableOptions) -> Findings:
    """The cases, with what the table says of them, and statements on what it lacks.

    Raises:
        InputError: as `read_table`; no case of the table is one of the folder; a case has a patient by its name and another
            group by the table.
    """
    table = read_table(options)
    cases = [_with_row(case, table) for case in found.cases]
    statements = [*found.statements, *statements_on(options, table, [case.name for case in cases])]
    return replace(found, cases=cases, statements=statements)


def statements_on(options: TableOptions, table: TableRows, cases: Sequence[str]) -> list[str]:
    """What a table says of some cases, and what it lacks, in words.

    Raises:
        InputError: it has none of the cases.
    """
    known = set(cases)
    if not known & set(table.about):
        raise InputError(
            f"none of the cases in {options.file} ({', '.join(sorted(table.about)[:SHOWN])}, …) is a case of the folder "
            f"({', '.join(sorted(known)[:SHOWN])}, …)"
        )
    lines = []
    for column in options.columns:
        values = [table.about[case][column] for case in cases if column in table.about.get(case, {})]
        counts = {value: values.count(value) for value in sorted(set(values))}
        if len(counts) < 2:
            raise InputError(f"column {column!r} has less than two values among the cases of the folder")
        if len(counts) > max(2, len(values) / 2):
            lines.append(
                f"WARNING: column {column!r} has {len(counts)} values in {len(values)} cases: is it a measurement?"
            )
        else:
            lines.append(f"{column}: " + ", ".join(f"{value} {count}" for value, count in counts.items()))
        lines += _named(f"cases without {column}", [case for case in cases if column not in table.about.get(case, {})])
    lines += _named("cases of the table that are not in the data set", sorted(set(table.about) - known))
    return lines


def _named(what: str, cases: Sequence[str]) -> list[str]:
    more = ", …" if len(cases) > SHOWN else ""
    return [f"WARNING: {len(cases)} {what}: {', '.join(cases[:SHOWN])}{more}"] if cases else []


def _with_row(case: Case, table: TableRows) -> Case:
    case = replace(case, about={**case.about, **table.about.get(case.name, {})})
    if not table.groups:
        return case
    group = table.groups.get(case.name)
    if group is None:
        raise InputError(f"case {case.name} has no row in the table, so its group is unknown")
    if case.patient_known and case.patient != group:
        raise InputError(f"case {case.name} is of patient {case.patient}, but of {group} in the table")
    return replace(case, patient=group, patient_known=True)
