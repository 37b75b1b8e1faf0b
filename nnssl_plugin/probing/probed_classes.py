from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nnssl_plugin.errors import InputError

FOLDS = 5


@dataclass(frozen=True)
class ProbedClasses:
    """Classes of a column.

    `names`: sorted. `rows`: `[n]`, which of the cases have one. `classes`: `[n]`, an index of `names`. `left_out`: why not, in
    words → number of cases.
    """

    names: list[str]
    rows: npt.NDArray
    classes: npt.NDArray
    left_out: Mapping[str, int]


def probed_classes(
    table: Mapping[str, Mapping[str, str]], patients: Mapping[str, str], column: str, dataset: str
) -> ProbedClasses:
    """What a column of the data set's table says of the cases; classes of fewer than `FOLDS` patients are left out.

    Args:
        table: case → column → text.
        patients: case → patient.
        column: that is asked for.
        dataset: for messages.

    Raises:
        InputError: there is no such column, or it does not have two classes.
    """
    columns = sorted({name for row in table.values() for name in row})
    if column not in columns:
        there = f"there are {', '.join(columns)}" if columns else "the data set has no table of its cases"
        raise InputError(
            f"{dataset} has no column {column!r}: {there}. Add them with nnssl_plugin convert table -d ID --table FILE --columns {column}"
        )
    texts = [row.get(column, "") for row in table.values()]
    members: dict[str, set[str]] = {}
    for case, text in zip(table, texts, strict=True):
        if text:
            members.setdefault(text, set()).add(patients[case])
    names = sorted(text for text, those in members.items() if len(those) >= FOLDS)
    if len(names) < 2:
        counts = ", ".join(f"{text} ({len(those)})" for text, those in sorted(members.items())[:10])
        raise InputError(
            f"column {column!r} of {dataset} cannot be probed: two classes of at least {FOLDS} patients each are needed, it has "
            f"{counts or 'no text at all'}"
        )
    rows = np.array([row for row, text in enumerate(texts) if text in names])
    absent = Counter("empty" if not text else "of rare classes" for text in texts if text not in names)
    return ProbedClasses(names, rows, np.array([names.index(texts[row]) for row in rows]), dict(absent))
