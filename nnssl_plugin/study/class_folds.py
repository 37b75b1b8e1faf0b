"""Folds of a study of classification: those of `SSLClassifyTrainer`; its pre-trainings see their training cases only."""

from dataclasses import replace
from pathlib import Path

from nnssl_plugin.classification.cohort import cases_of_fold
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import patient_of
from nnssl_plugin.settings.settings import Settings, settings_with
from nnssl_plugin.study.label_folds import LabelFold, Splits, StudyFolds
from nnssl_plugin.study.study_file import StudyFile


def class_study_folds(file: StudyFile, splits: Splits, images: Path) -> StudyFolds:
    """The folds of the study; what pre-training sees is appended to nnU-Net's splits.

    Raises:
        InputError: as `cases_of_fold`.
    """
    study = file.study
    assignments = [one for one in study.assignments if one.startswith("classification.fold")]
    settings = replace(settings_with(Settings(), assignments).classification, columns=study.columns)
    dataset_json = read_json(images.parent / "dataset.json")
    folds = StudyFolds()
    for base in study.folds:
        whole = cases_of_fold(images, dataset_json, settings, base)
        about = {"pre-training of a study": study.name, "fold of the classification": base}
        index = splits.found_or_appended(whole.training, whole.validation, about)
        folds.pretraining[base] = splits.fold(index, base)
        for labels in study.labels:
            for draw in labels.all_draws:
                share = replace(settings, label_fraction=labels.fraction or 1.0, label_seed=draw or 0)
                cases = cases_of_fold(images, dataset_json, share, base)
                patients = {patient_of(dataset_json, case) for case in cases.training}
                # The trainer takes the subset itself, so that the fold is the whole one's.
                folds.labels[base, labels.title, draw] = LabelFold(
                    base, base, tuple(cases.training), tuple(cases.validation), len(patients)
                )
    return folds
