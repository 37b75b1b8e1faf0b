"""Who is trained on and who is scored, as folds of nnU-Net's own `splits_final.json`.

A fold of the study is appended and marked as such where nnU-Net's splits do not have it; folds that are there are never
changed, and one that is there already is used again.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.finetuning.label_subset import label_subset
from nnssl_plugin.nnunet.dataset_json import KEY, patient_of
from nnssl_plugin.study.study_file import StudyFile

SPLITS = "splits_final.json"


@dataclass(frozen=True)
class LabelFold:
    """A fold of `splits_final.json`; `base`: the study's fold that it belongs to. `patients`: number trained on."""

    index: int
    base: int
    training: tuple[str, ...]
    validation: tuple[str, ...]
    patients: int


@dataclass(frozen=True)
class StudyFolds:
    """Folds of a study. `pretraining`: by base fold. `labels`: by base fold, title of the labels and draw."""

    pretraining: dict[int, LabelFold] = field(default_factory=dict)
    labels: dict[tuple[int, str, int | None], LabelFold] = field(default_factory=dict)


def study_folds(file: StudyFile, folder: Path, images: Path, write: bool) -> StudyFolds:
    """The study's folds: label subsets, and what `patients` divides.

    Args:
        file: of the study.
        folder: preprocessed data set.
        images: preprocessed images of the configuration.
        write: whether to append what is missing; otherwise the folds are what they would be.

    Raises:
        InputError: there is no such fold or patient, or it has fewer patients than a subset wants.
    """
    # Two studies of one data set must not append at once.
    with FileLock(folder / f".{SPLITS}.lock") if write else nullcontext():
        splits = Splits(folder, images, needed=file.study.patients is None)
        folds = _folds(file, splits, images)
        if write:
            splits.write()
    return folds


def _folds(file: StudyFile, splits: "Splits", images: Path) -> StudyFolds:
    if file.study.evaluation == "classes":
        # It builds on this module.
        from nnssl_plugin.study.class_folds import class_study_folds

        return class_study_folds(file, splits, images)
    return _declared(file, splits) if file.study.patients else _of_splits(file, splits)


class Splits:
    """`splits_final.json`; where there is none, the splits are those nnU-Net would make.

    Args:
        folder: preprocessed data set.
        images: preprocessed images of the configuration.
        needed: whether it is an error that nnU-Net can make none.
    """

    def __init__(self, folder: Path, images: Path, needed: bool) -> None:
        self.path, self.dataset_json = folder / SPLITS, read_json(folder / "dataset.json")
        self.cases = sorted(nnUNetDatasetBlosc2.get_identifiers(str(images)))
        self.entries: list[dict[str, Any]] = (
            read_json(self.path) if self.path.is_file() else self._made_by_nnunet(needed)
        )
        self.on_file = len(self.entries) if self.path.is_file() else 0

    def _made_by_nnunet(self, needed: bool) -> list[dict[str, Any]]:
        try:
            made = generate_crossval_split(self.cases, seed=12345, n_splits=5)
        except ValueError:
            if not needed:
                return []
            raise InputError(
                f"{self.path} does not exist, and nnU-Net cannot split {len(self.cases)} cases into five folds; write one "
                "beside the raw data and plan again"
            ) from None
        return [{part: [str(case) for case in cases] for part, cases in split.items()} for split in made]

    def patients(self, cases: Iterable[str]) -> dict[str, str]:
        """Case → patient."""
        return {case: patient_of(self.dataset_json, case) for case in cases}

    def fold(self, index: int, base: int) -> LabelFold:
        """One of the entries."""
        split = self.entries[index]
        patients = set(self.patients(split["train"]).values())
        return LabelFold(index, base, tuple(split["train"]), tuple(split["val"]), len(patients))

    def found_or_appended(self, training: Sequence[str], validation: Sequence[str], about: Mapping[str, object]) -> int:
        """Index of the marked entry with these cases."""
        split = {"train": list(training), "val": list(validation)}
        for index, entry in enumerate(self.entries):
            if KEY in entry and all(entry[part] == cases for part, cases in split.items()):
                return index
        self.entries.append({**split, KEY: dict(about)})
        return len(self.entries) - 1

    def write(self) -> None:
        """Write what was appended."""
        if len(self.entries) > self.on_file:
            write_json(self.entries, self.path)


def _of_splits(file: StudyFile, splits: Splits) -> StudyFolds:
    """Folds that nnU-Net's splits have, and label subsets of them."""
    folds = StudyFolds()
    for base in file.study.folds:
        if base >= len(splits.entries) or KEY in splits.entries[base]:
            own = sum(KEY not in entry for entry in splits.entries)
            raise file.error((("folds",), f"names {base}; {splits.path} has {own} folds, from 0"))
        folds.pretraining[base] = splits.fold(base, base)
        _add_subsets(file, splits, folds, base, folds.pretraining[base])
    return folds


def _declared(file: StudyFile, splits: Splits) -> StudyFolds:
    """Folds of the patients that the file declares; pre-training leaves out development and test patients alike."""
    patients = file.study.patients
    assert patients is not None
    of_case = splits.patients(splits.cases)
    lists = {part: getattr(patients, part) for part in ("development", "test", "training")}
    for part, names in lists.items():
        for i, name in enumerate(names or []):
            if name not in of_case.values():
                nearest = difflib.get_close_matches(name, set(of_case.values()), n=1, cutoff=0.0)
                raise file.error((("patients", part, i), f"no patient {name!r}; the nearest there is {nearest[0]!r}"))
    held_out = [case for case, patient in of_case.items() if patient in {*patients.development, *patients.test}]
    scored = [case for case, patient in of_case.items() if patient in lists[patients.scored]]
    named = None if patients.training is None else set(patients.training)
    training = [case for case in splits.cases if case not in held_out and (named is None or of_case[case] in named)]
    if not training:
        raise file.error(
            (("patients",), "development and test patients are all there are; no patient is left to train on")
        )
    folds, base = StudyFolds(), file.study.folds[0]
    index = splits.found_or_appended(training, held_out, {"pre-training of a study": file.study.name})
    folds.pretraining[base] = splits.fold(index, base)
    index = splits.found_or_appended(training, scored, {"training patients of a study": file.study.name})
    _add_subsets(file, splits, folds, base, splits.fold(index, base))
    return folds


def _add_subsets(file: StudyFile, splits: Splits, folds: StudyFolds, base: int, whole: LabelFold) -> None:
    patients = splits.patients(whole.training)
    for i, labels in enumerate(file.study.labels):
        drawn: dict[int, int | None] = {}
        for draw in labels.all_draws:
            try:
                cases = label_subset(patients, draw or 0, fraction=labels.fraction, count=labels.count)
            except InputError as error:
                raise file.error((("labels", i), str(error))) from None
            index = whole.index
            if set(cases) != set(whole.training):
                about = {"label subset of fold": whole.index, "labels": labels.title, "draw": draw}
                index = splits.found_or_appended(cases, whole.validation, about)
            elif labels.draws:
                problem = f"these are all {whole.patients} patients; write 'fraction: 1' and leave 'draws' out"
                raise file.error((("labels", i), problem))
            if index in drawn:
                problem = f"{drawn[index]} and {draw} draw the same patients; name another in place of one of them"
                raise file.error((("labels", i, "draws"), problem))
            drawn[index] = draw
            folds.labels[base, labels.title, draw] = splits.fold(index, base)
