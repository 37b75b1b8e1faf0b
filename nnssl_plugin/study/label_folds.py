"""Label subsets as folds of nnU-Net's own `splits_final.json`: the fold's validation cases, some of its training cases."""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_text
from nnssl_plugin.finetuning.label_subset import label_subset
from nnssl_plugin.nnunet.dataset_json import KEY, patient_of
from nnssl_plugin.study.study_file import Study

SPLITS = "splits_final.json"


@dataclass(frozen=True)
class LabelFold:
    """A fold of `splits_final.json`; `base`: the fold it is a subset of, or itself. `patients`: number of labelled."""

    index: int
    base: int
    training: tuple[str, ...]
    validation: tuple[str, ...]
    patients: int


def label_folds(
    study: Study, folder: Path, images: Path, write: bool
) -> tuple[dict[int, LabelFold], dict[tuple[int, str, int], LabelFold]]:
    """The study's folds and their label subsets.

    A subset is one more fold, appended to the splits and marked there as such; folds that are there are never changed,
    and a subset that is there already is used again.

    Args:
        study: the declaration.
        folder: preprocessed data set.
        images: preprocessed images of the configuration.
        write: whether to append what is missing; otherwise the folds are what they would be.

    Returns:
        Base fold → itself; base fold, title of the labels and seed → its subset.

    Raises:
        InputError: there is no such fold, or it has fewer patients than a subset wants.
    """
    dataset_json = read_json(folder / "dataset.json")
    with _locked(folder):
        splits, known = _splits(folder, images)
        base = {}
        for fold in study.folds:
            if fold >= len(splits) or KEY in splits[fold]:
                own = sum(KEY not in split for split in splits)
                raise InputError(f"folds names {fold}; {folder / SPLITS} has {own} folds, from 0")
            base[fold] = _fold(fold, fold, splits[fold], dataset_json)
        subsets = {}
        for fold, whole in base.items():
            patients = {case: patient_of(dataset_json, case) for case in whole.training}
            for labels in study.labels:
                for seed in labels.seeds:
                    cases = label_subset(patients, seed, fraction=labels.fraction, count=labels.count)
                    index = fold
                    if set(cases) != set(whole.training):
                        index = _index(splits, fold, cases, whole.validation, labels.title, seed)
                    subsets[fold, labels.title, seed] = _fold(index, fold, splits[index], dataset_json)
        if write and len(splits) > known:
            write_text(folder / SPLITS, json.dumps(splits, indent=4))
    return base, subsets


def _fold(index: int, base: int, split: dict[str, Any], dataset_json: dict[str, Any]) -> LabelFold:
    patients = {patient_of(dataset_json, case) for case in split["train"]}
    return LabelFold(index, base, tuple(split["train"]), tuple(split["val"]), len(patients))


def _index(
    splits: list[dict[str, Any]], base: int, cases: list[str], validation: Sequence[str], labels: str, seed: int
) -> int:
    """Of the fold with these cases; appended where there is none."""
    for index, split in enumerate(splits):
        if KEY in split and split["train"] == cases and split["val"] == list(validation):
            return index
    record = {"label subset of fold": base, "labels": labels, "seed": seed}
    splits.append({"train": cases, "val": list(validation), KEY: record})
    return len(splits) - 1


def _splits(folder: Path, images: Path) -> tuple[list[dict[str, Any]], int]:
    """The splits, and how many of them are on file: where there are none, they are those nnU-Net would make."""
    path = folder / SPLITS
    if path.is_file():
        splits = read_json(path)
        return splits, len(splits)
    cases = sorted(nnUNetDatasetBlosc2.get_identifiers(str(images)))
    try:
        made = generate_crossval_split(cases, seed=12345, n_splits=5)
    except ValueError:
        raise InputError(
            f"{path} does not exist, and nnU-Net cannot split {len(cases)} cases into five folds; write one beside the raw "
            "data and plan again"
        ) from None
    return [{part: [str(case) for case in cases] for part, cases in split.items()} for split in made], 0


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two studies of one data set must not append at once."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
