import csv
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from nnssl_plugin.conversion.case_names import control_characters
from nnssl_plugin.errors import InputError


def csv_rows(table: Path, expected: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and row (column → cell, without blanks around it) of a CSV file.

    Raises:
        InputError: it cannot be read, is not UTF-8, or lacks one of the `expected` columns.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(_without_control(file, table))
            columns = [column.strip() for column in next(reader, [])]
            if missing := [column for column in expected if column not in columns]:
                raise InputError(
                    f"{table} has the columns {', '.join(columns)}; expected {', '.join(missing)}{_advice(missing, columns)}"
                )
            for cells in reader:
                if len(cells) > len(columns):
                    raise InputError(f"{table}, line {reader.line_num}: {len(cells)} cells, but {len(columns)} columns")
                if any(cells):
                    texts = [*(cell.strip() for cell in cells), *[""] * (len(columns) - len(cells))]
                    yield reader.line_num, dict(zip(columns, texts, strict=True))
    except UnicodeDecodeError as error:
        raise InputError(f"{table} is not UTF-8 ({error}): save it as CSV in UTF-8") from None
    except (OSError, csv.Error) as error:
        raise InputError(f"{table} cannot be read: {error}") from None


def _without_control(lines: Iterator[str], table: Path) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if control := control_characters(line.rstrip("\r\n").replace("\t", "")):
            raise InputError(f"{table}, line {number} holds {', '.join(control)}: repair the table")
        yield line


def _advice(missing: Sequence[str], columns: Sequence[str]) -> str:
    if len(columns) == 1 and ";" in columns[0]:
        return ". Its separator is the semicolon: save it with commas"
    nearest = [found[0] for column in missing if (found := difflib.get_close_matches(column, columns, n=1))]
    return f" (is it {', '.join(nearest)}?)" if nearest else ""
