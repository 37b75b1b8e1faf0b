"""Reports of cases, added to a data set that is there already, of this plugin or not."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from nnssl_plugin.conversion.class_table import CASE
from nnssl_plugin.conversion.csv_rows import csv_rows
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json, write_text
from nnssl_plugin.nnunet.dataset_json import KEY
from nnssl_plugin.nnunet.environment import check_nnunet, dataset_name, folder_of
from nnssl_plugin.text.hashed_words import words_of
from nnssl_plugin.text.report_file import REPORT, read_report

FOLDER = "reports"
SHOWN = 5
# What stands for a character that was lost when a text was saved in another encoding.
LOST = "\ufffd"


def add_reports(dataset: int | str, table: Path, column: str) -> list[str]:
    """Copy reports into the folder of the raw data set, and name them in its `dataset.json`, raw and preprocessed.

    Args:
        dataset: id or name.
        table: CSV with a column `case`.
        column: of the table: the report's file, relative to the table, or its text.

    Returns:
        What was added, what is missing and what is odd, in words.

    Raises:
        InputError: there is no such data set, the table has none of its cases, or a report cannot be read or is no text;
            nothing is changed then.
    """
    check_nnunet("nnUNet_raw", "nnUNet_preprocessed")
    raw = folder_of("nnUNet_raw") / dataset_name(dataset)
    if not (raw / "dataset.json").is_file():
        raise InputError(f"{raw} has no dataset.json: convert the data set first")
    cases = sorted(get_filenames_of_train_images_and_targets(str(raw)))
    texts = _texts(table, column)
    known = {case: texts[case] for case in cases if texts.get(case, "").strip()}
    if not known:
        raise InputError(
            f"{table}: none of its cases with a report ({', '.join(sorted(texts)[:SHOWN])}, …) is one of {raw.name} "
            f"({', '.join(cases[:SHOWN])}, …)"
        )
    (raw / FOLDER).mkdir(exist_ok=True)
    for case, text in known.items():
        write_text(raw / FOLDER / f"{case}.txt", text)
    for file in (raw / "dataset.json", folder_of("nnUNet_preprocessed") / raw.name / "dataset.json"):
        if file.is_file():
            write_json(_with_reports(read_json(file), {case: raw / FOLDER / f"{case}.txt" for case in known}), file)
    return [f"{raw.name}: reports of {len(known)} of {len(cases)} cases in {raw / FOLDER}", *_statements(cases, known)]


def _texts(table: Path, column: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for line, row in csv_rows(table, [CASE, column]):
        case, said = row[CASE], row[column]
        file = table.parent / said
        is_file = len(said) < 256 and "\n" not in said and said != "" and file.is_file()
        if not is_file and len(said.split()) == 1 and Path(said).suffix:
            raise InputError(f"{table}, line {line}: there is no file {file}, the report of {case}")
        text = read_report(file) if is_file else said
        if "\0" in text:
            raise InputError(f"{file}, the report of {case}, is no text")
        if texts.setdefault(case, text) != text:
            raise InputError(f"{table}, line {line}: case {case} stands there before, with another report")
    return texts


def _with_reports(dataset_json: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
    own = dict(dataset_json.get(KEY, {}))
    entries = {case: dict(entry) for case, entry in own.get("cases", {}).items()}
    for case, file in files.items():
        entry = entries.setdefault(case, {})
        entry["files"] = {**entry.get("files", {}), REPORT: str(file)}
    return {**dataset_json, KEY: {**own, "cases": entries}}


def _statements(cases: list[str], known: Mapping[str, str]) -> list[str]:
    lines = []
    if without := [case for case in cases if case not in known]:
        lines.append(f"without a report: {len(without)} cases, like {', '.join(without[:SHOWN])}")
    counts = Counter(" ".join(words_of(text)) for text in known.values())
    if shared := sum(count for count in counts.values() if count > 1):
        lines.append(f"{shared} cases share their text with another one; they are never negatives of each other")
    if lost := [case for case, text in known.items() if LOST in text]:
        lines.append(
            f"WARNING: characters were lost (U+FFFD) in {len(lost)} reports, like that of {lost[0]}: save them again in UTF-8"
        )
    lengths = sorted(len(words_of(text)) for text in known.values())
    lines.append(f"words: {lengths[0]} to {lengths[-1]}, median {lengths[len(lengths) // 2]}")
    return lines
