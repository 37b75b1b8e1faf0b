"""The classes of cases, from the columns of the data set's table."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import table_row_of

UNKNOWN = -1


@dataclass(frozen=True)
class CaseClasses:
    """What is known of the cases' classes.

    Attributes:
        columns: column → its classes, in order.
        of_case: case → index of its class in each column, `UNKNOWN` where the field is empty.
        left_out: cases of which every field is empty.
    """

    columns: Mapping[str, tuple[str, ...]]
    of_case: Mapping[str, tuple[int, ...]]
    left_out: tuple[str, ...]

    def text_of(self, case: str) -> str:
        """The classes of a case, joined: what folds are stratified by."""
        names = [
            classes[index] if index != UNKNOWN else ""
            for classes, index in zip(self.columns.values(), self.of_case[case], strict=True)
        ]
        return " ".join(names)


def case_classes(dataset_json: Mapping[str, Any], columns: Sequence[str], cases: Iterable[str]) -> CaseClasses:
    """Classes of `cases` in the columns of the data set's table, sorted, as numbers where all of them are.

    Raises:
        InputError: no column is named, the table has none of that name, or the column has fewer than two classes.
    """
    if not columns:
        raise InputError(
            "classification.columns is empty: name the column of the data set's table with the classes, with nnssl_plugin "
            "plan --classify COLUMN"
        )
    rows = {case: table_row_of(dataset_json, case) for case in cases}
    classes: dict[str, tuple[str, ...]] = {}
    for column in columns:
        found = {row[column] for row in rows.values() if row.get(column)}
        if not found:
            raise InputError(_no_such_column(column, sorted({name for row in rows.values() for name in row})))
        if len(found) < 2:
            raise InputError(f"column {column!r} has one class only ({found.pop()!r}): there is nothing to classify")
        classes[column] = tuple(sorted(found, key=_sorting_key(found)))
    of_case = {
        case: tuple(classes[column].index(row[column]) if row.get(column) else UNKNOWN for column in columns)
        for case, row in rows.items()
    }
    left_out = tuple(case for case, indices in of_case.items() if set(indices) == {UNKNOWN})
    return CaseClasses(classes, {case: of_case[case] for case in of_case if case not in left_out}, left_out)


def _sorting_key(classes: Iterable[str]) -> Any:
    try:
        _ = [float(name) for name in classes]
    except ValueError:
        return str
    return float


def _no_such_column(column: str, known: Sequence[str]) -> str:
    if not known:
        return (
            f"no case has a column {column!r}: the data set has no table. Add one with nnssl_plugin convert table -d ID --table "
            f"FILE --columns {column}"
        )
    nearest = difflib.get_close_matches(column, known, n=1, cutoff=0)
    return f"no case has a column {column!r}; the nearest of the data set's table is {nearest[0]!r}"
