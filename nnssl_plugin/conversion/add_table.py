"""What a table says of each case, added to a data set that is there already, of this plugin or not."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnssl_plugin.conversion.class_table import TableOptions, TableRows, read_table, statements_on
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, whole_file, write_json
from nnssl_plugin.nnunet.dataset_json import KEY, is_patient_known, missing_modalities, patient_of, table_row_of
from nnssl_plugin.nnunet.environment import check_nnunet, dataset_name, folder_of


def add_table(dataset: int | str, options: TableOptions) -> list[str]:
    """Add a table's columns to the `dataset.json` of a data set, raw and preprocessed, and to the raw one's `cases.csv`.

    Columns that the data set has are replaced; others stay.

    Returns:
        What was added, in words.

    Raises:
        InputError: there is no such data set, or the table does not fit it; nothing is changed then.
    """
    check_nnunet("nnUNet_raw", "nnUNet_preprocessed")
    table = read_table(options)
    raw = folder_of("nnUNet_raw") / dataset_name(dataset)
    if not (raw / "dataset.json").is_file():
        raise InputError(f"{raw} has no dataset.json: convert the data set first")
    preprocessed = folder_of("nnUNet_preprocessed") / raw.name
    cases = sorted(get_filenames_of_train_images_and_targets(str(raw)))
    statements = statements_on(options, table, cases)
    files = [file for file in (raw / "dataset.json", preprocessed / "dataset.json") if file.is_file()]
    contents = [_with_rows(read_json(file), table, cases) for file in files]
    for file, content in zip(files, contents, strict=True):
        write_json(content, file)
    _write_cases_csv(raw / "cases.csv", contents[0], cases)
    where = " and ".join(str(file) for file in files)
    return [
        f"{raw.name}: {', '.join([*options.columns, *([options.group] if options.group else [])])} in {where}",
        *statements,
    ]


def _with_rows(dataset_json: Mapping[str, Any], table: TableRows, cases: list[str]) -> dict[str, Any]:
    own = dict(dataset_json.get(KEY, {}))
    entries = {case: dict(entry) for case, entry in own.get("cases", {}).items()}
    for case in cases:
        entry = entries.setdefault(case, {})
        if row := {**table_row_of(dataset_json, case), **table.about.get(case, {})}:
            entry["table"] = row
        if not table.groups:
            continue
        if case not in table.groups:
            raise InputError(f"case {case} has no row in the table, so its group is unknown")
        if is_patient_known(dataset_json, case) and patient_of(dataset_json, case) != table.groups[case]:
            raise InputError(
                f"case {case} is of patient {patient_of(dataset_json, case)}, but of {table.groups[case]} in the table"
            )
        entry |= {"patient": table.groups[case], "patient_known": True}
    return {**dataset_json, KEY: {**own, "cases": entries}}


def _write_cases_csv(path: Path, dataset_json: Mapping[str, Any], cases: list[str]) -> None:
    rows = {case: table_row_of(dataset_json, case) for case in cases}
    columns = sorted({column for row in rows.values() for column in row})
    with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "patient", "missing", *columns])
        for case, row in rows.items():
            missing = " ".join(missing_modalities(dataset_json, case))
            writer.writerow(
                [case, patient_of(dataset_json, case), missing, *(row.get(column, "") for column in columns)]
            )
