"""Images with a report each, listed in a table; the reports are kept with the data set.

`python dataset_conversion/reports.py …` is `nnssl_plugin convert reports …`.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nnssl_plugin.conversion.case import Case, Findings, Problems
from nnssl_plugin.conversion.class_table import CASE
from nnssl_plugin.conversion.convert import convert_cases
from nnssl_plugin.conversion.csv_rows import csv_rows
from nnssl_plugin.conversion.options import ConversionOptions
from nnssl_plugin.conversion.scan import scan_of
from nnssl_plugin.errors import InputError
from nnssl_plugin.text.report_file import REPLACEMENT, REPORT, identity_of, read_report

COMMAND = "nnssl_plugin convert reports"


def convert(folder: Path, options: ConversionOptions, image: str, report: str) -> int:
    """Convert what a table lists; a case without a usable report is left out and named.

    Args:
        folder: that the paths in the table start from.
        options: where to and how; their table must name groups. A table that is not where it is said to be is looked for
            in the folder.
        image: column with the path of the image, and name of the channel.
        report: column with the path of the report, a text file.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: nobody says whose the cases are, the table cannot be read or names a case twice, or as `convert_cases`.
    """
    if options.table is None or options.table.group is None:
        raise InputError(
            "reports need --table FILE --group COLUMN: the views of one patient, which often share a report, must never be "
            "compared as if they were of two"
        )
    if image == REPORT:
        raise InputError(f"--image {image}: the image's channel would be called like the report; rename the column")
    table = options.table.file if options.table.file.is_file() else folder / options.table.file
    options = replace(options, table=replace(options.table, file=table))
    problems: Problems = {}
    cases: list[Case] = []
    texts: dict[str, str] = {}
    lines: dict[str, int] = {}
    for line, row in csv_rows(table, [CASE, image, report]):
        name = row[CASE]
        if not name:
            raise InputError(f"{table}, line {line}: no case is named")
        if lines.setdefault(name, line) != line:
            raise InputError(f"{table}, line {line}: case {name} stands in line {lines[name]} too")
        try:
            files = {column: _file(folder, row, column) for column in (image, report)}
            texts[name] = read_report(files[report])
        except InputError as error:
            problems[name] = [str(error)]
            continue
        cases.append(Case(name, name, {image: scan_of(files[image])}, files={REPORT: files[report]}))
    if not cases:
        raise InputError(
            f"{table} names no image with a report: {next(iter(problems.values()), ['it has no rows'])[0]}"
        )
    statements = [f"images and reports as listed in {table.name}", *statements_on_reports(texts)]
    dataset = re.sub(r"[^A-Za-z0-9_-]", "", folder.resolve().name)
    return convert_cases(Findings(cases, problems, [image], None, dataset, COMMAND, statements), options)


def statements_on_reports(texts: Mapping[str, str]) -> list[str]:
    """What must be known of the reports, in words. `texts`: of each case."""
    words = sorted(len(text.split()) for text in texts.values())
    lines = [f"reports of {words[0]} to {words[-1]} words, median {words[len(words) // 2]}"]
    same: dict[str, list[str]] = defaultdict(list)
    for case, text in texts.items():
        same[identity_of(text)].append(case)
    if doubles := [cases for cases in same.values() if len(cases) > 1]:
        lines.append(
            f"{sum(map(len, doubles))} cases share {len(doubles)} reports word for word (like {' and '.join(doubles[0][:2])}): "
            "they are never compared as if they were different"
        )
    if lost := {case: text.count(REPLACEMENT) for case, text in texts.items() if REPLACEMENT in text}:
        lines.append(
            f"WARNING: {len(lost)} reports hold {sum(lost.values())} U+FFFD, where a character was lost: {', '.join([*lost][:5])}"
        )
    return lines


def _file(folder: Path, row: Mapping[str, str], column: str) -> Path:
    if not row[column]:
        raise InputError(f"the table names no {column}")
    file = folder / row[column]
    if not file.is_file():
        raise InputError(f"{column}: there is no {file}")
    return file


if __name__ == "__main__":
    from nnssl_plugin.cli import main

    sys.exit(main(["convert", "reports", *sys.argv[1:]]))
