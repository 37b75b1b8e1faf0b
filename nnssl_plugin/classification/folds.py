"""Folds of a classification: by patient, stratified by class, in a file of their own."""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnssl_plugin.classification.labels import UNKNOWN, CaseClasses
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.nnunet.dataset_json import patient_of

Fold = dict[str, list[str]]
SEED = 0


def folds_file(folder: Path, columns: Sequence[str]) -> Path:
    """Where the folds for these columns are, in the preprocessed data set's folder."""
    return (
        folder / f"classification_splits_{'_'.join(re.sub(r'[^A-Za-z0-9.-]', '-', column) for column in columns)}.json"
    )


def class_folds(folder: Path, dataset_json: Mapping[str, Any], classes: CaseClasses, number: int) -> list[Fold]:
    """The folds of the file, shaped as nnU-Net's `splits_final.json`; made where there is none.

    Args:
        folder: of the preprocessed data set.
        dataset_json: tells the patients.
        classes: of the cases to be split.
        number: of folds.

    Raises:
        InputError: a class has fewer patients than there are folds, or the file's folds do not fit: another number, a patient
            on both sides, a case that has no class or is not there, a class that some fold does not train on.
    """
    file = folds_file(folder, tuple(classes.columns))
    if not file.is_file():
        write_json(_new_folds(dataset_json, classes, number), file)
    folds: list[Fold] = read_json(file)
    if len(folds) != number:
        raise InputError(
            f"classification.folds is {number}, but {file} has {len(folds)} folds: set it to {len(folds)}, or remove the file to "
            "make new ones"
        )
    for index, fold in enumerate(folds):
        _check(fold, f"{file}, fold {index}", dataset_json, classes)
    return folds


def _new_folds(dataset_json: Mapping[str, Any], classes: CaseClasses, number: int) -> list[Fold]:
    # Slow to import, and needed once.
    from sklearn.model_selection import StratifiedGroupKFold

    cases = sorted(classes.of_case)
    patients = [patient_of(dataset_json, case) for case in cases]
    for position, (column, names) in enumerate(classes.columns.items()):
        for index, name in enumerate(names):
            of_class = {
                patient
                for case, patient in zip(cases, patients, strict=True)
                if classes.of_case[case][position] == index
            }
            if len(of_class) < number:
                raise InputError(
                    f"column {column!r}: class {name!r} has {len(of_class)} patients, too few for {number} folds; set "
                    "classification.folds lower or join classes"
                )
    split = StratifiedGroupKFold(number, shuffle=True, random_state=SEED)
    with warnings.catch_warnings():
        # Joined classes of several columns may be rarer than the folds, which is no harm.
        warnings.simplefilter("ignore", UserWarning)
        parts = list(split.split(cases, [classes.text_of(case) for case in cases], patients))
    return [{"train": [cases[i] for i in train], "val": [cases[i] for i in val]} for train, val in parts]


def _check(fold: Fold, name: str, dataset_json: Mapping[str, Any], classes: CaseClasses) -> None:
    both = {patient_of(dataset_json, case) for case in fold["train"]} & {
        patient_of(dataset_json, case) for case in fold["val"]
    }
    if both:
        raise InputError(
            f"{name}: patient {min(both)} is trained on and validated on; remove the file to make new folds"
        )
    strange = [case for case in [*fold["train"], *fold["val"]] if case not in classes.of_case]
    if strange:
        raise InputError(
            f"{name}: case {strange[0]} has no class or is not preprocessed ({len(strange)} such cases); remove the file to "
            "make new folds"
        )
    for position, (column, names) in enumerate(classes.columns.items()):
        trained = {classes.of_case[case][position] for case in fold["train"]} - {UNKNOWN}
        if missing := [names[index] for index in range(len(names)) if index not in trained]:
            raise InputError(f"{name}: class {missing[0]!r} of {column!r} is in no training case; make other folds")
