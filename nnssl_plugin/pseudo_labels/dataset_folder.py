"""A data set of pseudo-labels: it grows under another name, case by case, and appears whole or not at all."""

import csv
import hashlib
import io
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.imageio.base_reader_writer import BaseReaderWriter

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, whole_file, write_json, write_text
from nnssl_plugin.nnunet.dataset_json import KEY, PSEUDO_LABELLED
from nnssl_plugin.nnunet.plans_file import preprocessed_folder
from nnssl_plugin.pseudo_labels.ensemble import Prediction
from nnssl_plugin.pseudo_labels.teachers import ALIKE
from nnssl_plugin.pseudo_labels.unlabelled_cases import UnlabelledCases

TABLE = "pseudo_labels.csv"
COLUMNS = ("case", "patient", "agreement", "confidence", "foreground")


class PseudoLabelFolder:
    """The data set's folder while its cases are labelled one by one.

    Args:
        final: where it will be, in `nnUNet_raw`.
        made_from: teachers and data set; what an earlier run left of others is removed.
        ending: of label files.
    """

    def __init__(self, final: Path, made_from: Mapping[str, Any], ending: str) -> None:
        self.final, self.made_from, self.ending = final, dict(made_from), ending
        self.path = final.with_name(f".unfinished-{final.name}")
        record = self.path / "made_from.json"
        if self.path.exists() and not (record.is_file() and read_json(record) == self.made_from):
            shutil.rmtree(self.path)
        for part in ("labelsTr", "rows"):
            (self.path / part).mkdir(parents=True, exist_ok=True)
        write_json(self.made_from, record)

    def row(self, case: str) -> dict[str, Any] | None:
        """The table's row of a case that is labelled already."""
        file = self.path / "rows" / f"{case}.json"
        return dict(read_json(file)) if file.is_file() and self._label(case).is_file() else None

    def add(self, case: str, patient: str, prediction: Prediction, files: BaseReaderWriter) -> dict[str, Any]:
        """Write the label of a case, read it back, and write its row.

        Raises:
            OSError: it could not be written, a full disk included.
        """
        with whole_file(self._label(case)) as unfinished:
            try:
                files.write_seg(prediction.segmentation, str(unfinished), prediction.properties)
                written = files.read_seg(str(unfinished))[0][0]
            except RuntimeError as error:
                # SimpleITK's, which says no more of a full disk.
                raise OSError(
                    f"{self._label(case)} could not be written: {str(error).strip().splitlines()[-1]}"
                ) from None
            if not np.array_equal(written, prediction.segmentation):
                raise OSError(f"{self._label(case)} could not be written: it reads back otherwise. Is the disk full?")
        row = {
            "case": case,
            "patient": patient,
            "agreement": prediction.agreement,
            "confidence": prediction.confidence,
            "foreground": prediction.foreground,
        }
        write_json(row, self.path / "rows" / f"{case}.json")
        return row

    def finish(self, cases: UnlabelledCases, taught: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        """Write `dataset.json` and the table, and move the folder into place.

        Args:
            cases: that were to be labelled.
            taught: `dataset.json` of the teachers.
            rows: of the cases that were.
        """
        source = read_json(self.final.parent / cases.dataset / "dataset.json").get(KEY, {}).get("cases", {})
        labelled = [row["case"] for row in rows]
        made_from = {**self.made_from, "labels_sha256": self._labels_sha256(labelled)}
        content = {
            **{key: taught[key] for key in ALIKE if key in taught},
            "numTraining": len(rows),
            "description": "Pseudo-labels: predicted by models, not drawn by a person (nnssl_plugin pseudo-label)",
            "dataset": {
                case: {"images": [str(file) for file in cases.images[case]], "label": f"labelsTr/{case}{self.ending}"}
                for case in labelled
            },
            KEY: {
                "unlabelled": False,
                PSEUDO_LABELLED: made_from,
                "cases": {case: {**source.get(case, {}), "patient": cases.patients[case]} for case in labelled},
            },
        }
        write_json(content, self.path / "dataset.json")
        write_text(self.path / TABLE, _table(rows))
        for file in (self.path / "labelsTr").iterdir():
            # Of a case that is not asked for any more.
            if file.name.removesuffix(self.ending) not in labelled:
                file.unlink()
        shutil.rmtree(self.path / "rows")
        (self.path / "made_from.json").unlink()
        for earlier in (self.final, preprocessed_folder(self.final.name)):
            if earlier.exists():
                shutil.rmtree(earlier)
        os.replace(self.path, self.final)

    def _label(self, case: str) -> Path:
        return self.path / "labelsTr" / f"{case}{self.ending}"

    def _labels_sha256(self, cases: Sequence[str]) -> str:
        result = hashlib.sha256()
        for case in sorted(cases):
            result.update(case.encode() + self._label(case).read_bytes())
        return result.hexdigest()


def is_made_already(final: Path, made_from: Mapping[str, Any], overwrite: bool) -> bool:
    """Whether the data set is there already, made from the same models and cases.

    Raises:
        InputError: something else is there, and it is not to be overwritten.
    """
    if not final.exists() or overwrite:
        return False
    file = final / "dataset.json"
    there = read_json(file).get(KEY, {}).get(PSEUDO_LABELLED, {}) if file.is_file() else {}
    if {key: there.get(key) for key in made_from} != dict(made_from):
        raise InputError(
            f"{final} exists and was made with other settings or models: choose another id with -d, or --overwrite it"
        )
    return True


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(["" if row[key] is None else row[key] for key in COLUMNS])
    return text.getvalue()
