"""Predicted classes of cases, and the table they are kept in."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import write_json, write_text


@dataclass
class Predictions:
    """Probabilities of cases.

    Attributes:
        columns: column → its classes.
        probabilities: case → column → `[K]`.
        temperature: column → what the logits were divided by.
    """

    columns: Mapping[str, tuple[str, ...]]
    probabilities: dict[str, dict[str, npt.NDArray[np.float64]]]
    temperature: dict[str, float] = field(default_factory=dict)

    def predicted(self, case: str, column: str) -> str:
        """The most probable class."""
        return self.columns[column][int(self.probabilities[case][column].argmax())]


def write_predictions(predictions: Predictions, file: Path) -> None:
    """Write a table with the columns `case`, and for every column its predicted class and `COLUMN=CLASS` probabilities."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    header = ["case"]
    for column, classes in predictions.columns.items():
        header += [column, *(f"{column}={name}" for name in classes)]
    writer.writerow(header)
    for case in sorted(predictions.probabilities):
        row = [case]
        for column in predictions.columns:
            row += [
                predictions.predicted(case, column),
                *(f"{p:.6f}" for p in predictions.probabilities[case][column]),
            ]
        writer.writerow(row)
    write_text(file, stream.getvalue())


def write_predictions_json(predictions: Predictions, file: Path) -> None:
    """The same as JSON, with the temperatures."""
    cases = {
        case: {
            column: {
                "class": predictions.predicted(case, column),
                "probabilities": dict(zip(classes, probabilities[column].tolist(), strict=True)),
            }
            for column, classes in predictions.columns.items()
        }
        for case, probabilities in sorted(predictions.probabilities.items())
    }
    columns = {column: list(classes) for column, classes in predictions.columns.items()}
    write_json({"columns": columns, "temperature": predictions.temperature, "cases": cases}, file)


def read_predictions(file: Path) -> Predictions:
    """Read what `write_predictions` wrote.

    Raises:
        InputError: it is no such table: a line lacks a value, a case stands twice, probabilities are no numbers from 0
            to 1 or do not sum to 1.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    header = rows[0] if rows else []
    columns = {
        name: tuple(entry.removeprefix(f"{name}=") for entry in header if entry.startswith(f"{name}="))
        for name in header[1:]
        if any(entry.startswith(f"{name}=") for entry in header)
    }
    if header[:1] != ["case"] or not columns:
        raise InputError(
            f"{file} is no table of predictions: its first line must be case,COLUMN,COLUMN=CLASS,… and is {','.join(header)}"
        )
    read: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
    for line, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        if len(row) != len(header):
            raise InputError(f"{file}, line {line}: {len(row)} cells, but {len(header)} columns")
        cells = dict(zip(header, row, strict=True))
        if cells["case"] in read:
            raise InputError(f"{file}, line {line}: case {cells['case']} is listed twice")
        read[cells["case"]] = {
            column: _probabilities([cells[f"{column}={name}"] for name in classes], f"{file}, line {line}, {column}")
            for column, classes in columns.items()
        }
    if not read:
        raise InputError(f"{file} has no case")
    return Predictions(columns, read)


def _probabilities(texts: list[str], where: str) -> npt.NDArray[np.float64]:
    try:
        values = np.array([float(text) for text in texts])
    except ValueError:
        raise InputError(f"{where}: probabilities must be numbers, not {', '.join(texts)}") from None
    if not (np.all(values >= 0) and np.all(values <= 1) and abs(values.sum() - 1) < 1e-3):
        raise InputError(f"{where}: probabilities from 0 to 1 that sum to 1 are needed, not {', '.join(texts)}")
    return values / values.sum()
