"""The cases of a classification run and what is known of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnssl_plugin.classification.folds import class_folds
from nnssl_plugin.classification.labels import CaseClasses, case_classes
from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.label_subset import label_subset
from nnssl_plugin.nnunet.dataset_json import patient_of
from nnssl_plugin.settings.settings import ClassificationSettings


@dataclass(frozen=True)
class ClassificationCases:
    """Cases of a fold.

    `classes`: of all cases of the data set. `training`, `validation`: names. `in_no_fold`: cases that have a class, but are not in
    the file of folds.
    """

    classes: CaseClasses
    training: list[str]
    validation: list[str]
    in_no_fold: list[str]


def cases_of_fold(
    images: Path, dataset_json: Mapping[str, Any], settings: ClassificationSettings, fold: int | str
) -> ClassificationCases:
    """Training and validation cases of a fold; of fold `all` each case is both.

    Args:
        images: folder of the preprocessed images.
        dataset_json: of the data set.
        settings: columns, folds, and the share of the training patients whose classes are used.
        fold: number, or `all`.

    Raises:
        InputError: nothing is preprocessed, there is no such fold, or as `case_classes` and `class_folds`.
    """
    cases = sorted(nnUNetDatasetBlosc2.get_identifiers(str(images))) if images.is_dir() else []
    if not cases:
        raise InputError(f"{images} holds no preprocessed case: run nnUNetv2_preprocess first")
    classes = case_classes(dataset_json, settings.columns, cases)
    in_no_fold: list[str] = []
    if fold == "all":
        training = validation = sorted(classes.of_case)
    else:
        folds = class_folds(images.parent, dataset_json, classes, settings.folds)
        if not 0 <= int(fold) < len(folds):
            raise InputError(f"fold {fold}: there are folds 0 to {len(folds) - 1}, and all")
        training, validation = folds[int(fold)]["train"], folds[int(fold)]["val"]
        in_no_fold = sorted(set(classes.of_case) - {*training, *validation})
    labelled = _labelled(training, dataset_json, classes, settings)
    return ClassificationCases(classes, labelled, validation, in_no_fold)


def _labelled(
    cases: Sequence[str], dataset_json: Mapping[str, Any], classes: CaseClasses, settings: ClassificationSettings
) -> list[str]:
    """The cases of a share of the patients, taken alike from those of each class or set of classes, so that none is lost."""
    if settings.label_fraction == 1:
        return list(cases)
    patients = {case: patient_of(dataset_json, case) for case in sorted(cases)}
    has: dict[str, set[str]] = {}
    for case, patient in patients.items():
        has.setdefault(patient, set()).add(classes.text_of(case))
    by_classes: dict[frozenset[str], dict[str, str]] = {}
    for case, patient in patients.items():
        by_classes.setdefault(frozenset(has[patient]), {})[case] = patient
    subsets = [label_subset(of, settings.label_seed, fraction=settings.label_fraction) for of in by_classes.values()]
    return sorted(case for subset in subsets for case in subset)
