"""The runs of a study: what nnU-Net is asked to train, and where it leaves it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nnssl_plugin.study.label_folds import LabelFold
from nnssl_plugin.study.study_file import Labels, Study


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: of its log and its record.
        trainer: as for `-tr`.
        plans: its plans copy, and how that is made: `source` plans, `options` and settings of `nnssl_plugin plan`.
        fold: that the trainer is given.
        base_fold: of which `fold` is a label subset, or the same.
        arm: recipe or control.
        schedule: of fine-tuning; empty for the others.
        labels: amount of labelled patients; empty for pre-training, as are the next two.
        patients: number of them.
        seed: of the label subset and of initialisation.
        cases: that it is trained on.
        pretraining: name of the run that its weights come from.
    """

    name: str
    trainer: str
    plans: str
    source: str
    options: tuple[str, ...]
    settings: tuple[str, ...]
    fold: int
    base_fold: int
    arm: str
    cases: tuple[str, ...]
    schedule: str = ""
    labels: str = ""
    patients: int = 0
    seed: int | None = None
    pretraining: str = ""

    @property
    def is_pretraining(self) -> bool:
        """Whether it makes weights for others."""
        return not self.labels

    def folder(self, results: Path, dataset: str, configuration: str) -> Path:
        """Its fold's folder in `nnUNet_results`."""
        return results / dataset / f"{self.trainer}__{self.plans}__{configuration}" / f"fold_{self.fold}"


def runs_of(study: Study, folds: Mapping[tuple[int, str, int], LabelFold], base: Mapping[int, LabelFold]) -> list[Run]:
    """All runs of a study, pre-trainings first.

    Args:
        study: the declaration.
        folds: base fold, title of the labels and seed → the fold to train on.
        base: base fold → itself.
    """
    runs = [_pretraining(study, recipe, base[fold]) for recipe in study.recipes for fold in study.folds]
    for labels in study.labels:
        for seed in labels.seeds:
            for fold in study.folds:
                subset = folds[fold, labels.title, seed]
                for arm, schedule in study.arms_of(labels):
                    runs.append(_finetuning(study, arm, schedule, labels, seed, subset))
    wanted = {run.pretraining for run in runs}
    return [run for run in runs if not run.is_pretraining or run.name in wanted]


def _pretraining(study: Study, name: str, fold: LabelFold) -> Run:
    recipe = study.recipes[name]
    plans = f"{study.name}_{name}_pretrain"
    return Run(
        f"{plans}_fold{fold.index}",
        recipe.trainer,
        plans,
        recipe.plans or study.plans,
        _words(study.plan_options, recipe.plan_options, study.pretraining_options, recipe.pretraining_options),
        (*study.assignments, *recipe.assignments),
        fold.index,
        fold.index,
        name,
        fold.training,
    )


def _finetuning(study: Study, arm: str, schedule: str, labels: Labels, seed: int, fold: LabelFold) -> Run:
    section = study.recipes[arm] if schedule else study.controls[arm]
    how = study.schedules[schedule].assignments if schedule else []
    parts = [study.name, arm, *([schedule] if schedule else []), labels.title, f"seed{seed}"]
    plans = "_".join(parts)
    return Run(
        f"{plans}_fold{fold.base}",
        study.schedules[schedule].trainer if schedule else section.trainer,
        plans,
        section.plans or study.plans,
        _words(study.plan_options, section.plan_options),
        (*study.assignments, *section.assignments, *how, f"finetuning.seed={seed}"),
        fold.index,
        fold.base,
        arm,
        fold.training,
        schedule,
        labels.title,
        fold.patients,
        seed,
        f"{study.name}_{arm}_pretrain_fold{fold.base}" if schedule else "",
    )


def _words(*options: str) -> tuple[str, ...]:
    return tuple(word for text in options for word in shlex.split(text))
