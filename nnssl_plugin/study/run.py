"""The runs of a study: what nnU-Net is asked to train, and where it leaves it."""

import json
import shlex
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from nnssl_plugin.study.declaration import Labels, Study
from nnssl_plugin.study.label_folds import LabelFold, StudyFolds


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: of its log and its record.
        trainer: as for `-tr`.
        plans: its plans copy, and how that is made: `source` plans, `options` and settings of `nnssl_plugin plan`.
        fold: that the trainer is given.
        base_fold: of which `fold` is a label subset, or the same.
        recipe: its name, or that of the control.
        cases: that it is trained on.
        pretraining_seed: of the pre-training, or of the one that its weights come from; None from scratch.
        pretraining_steps: of a pre-training: after which its weights are kept, beside those at its end; else that after
            which the weights were kept that it starts from, none for those at the end.
        schedule: of fine-tuning; empty for the others.
        labels: amount of labelled patients; empty for pre-training, as are the next ones.
        patients: number of them.
        draw: of these patients; None where all are labelled.
        seed: of initialisation.
        budget: number of steps; None: as the settings say.
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
    recipe: str
    cases: tuple[str, ...]
    pretraining_seed: int | None = None
    pretraining_steps: tuple[int, ...] = ()
    schedule: str = ""
    labels: str = ""
    patients: int = 0
    draw: int | None = None
    seed: int | None = None
    budget: int | None = None
    pretraining: str = ""

    @property
    def is_pretraining(self) -> bool:
        """Whether it makes weights for others."""
        return not self.labels

    def folder(self, results: Path, dataset: str, configuration: str) -> Path:
        """Its fold's folder in `nnUNet_results`."""
        return results / dataset / f"{self.trainer}__{self.plans}__{configuration}" / f"fold_{self.fold}"


def runs_of(study: Study, folds: StudyFolds) -> list[Run]:
    """All runs of a study, pre-trainings first."""
    finetuned = [run for labels in study.labels for run in _finetunings(study, labels, folds)]
    wanted = {run.pretraining for run in finetuned}
    pretrained = [
        _pretraining(study, recipe, seed, folds.pretraining[base])
        for recipe in study.recipes
        for seed in study.pretraining_seeds
        for base in study.folds
    ]
    return [*(run for run in pretrained if run.name in wanted), *finetuned]


def _pretraining_name(study: Study, recipe: str, seed: int, fold: int) -> str:
    return f"{study.name}_{recipe}_pretrain_seed{seed}_fold{fold}"


def _pretraining(study: Study, name: str, seed: int, fold: LabelFold) -> Run:
    recipe = study.recipes[name]
    return Run(
        name=_pretraining_name(study, name, seed, fold.base),
        trainer=recipe.trainer,
        plans=f"{study.name}_{name}_pretrain_seed{seed}",
        source=recipe.plans or study.plans,
        options=_words(study.plan_options, recipe.plan_options, study.pretraining_options, recipe.pretraining_options),
        settings=(*study.assignments, *recipe.assignments, f"pretraining.seed={seed}"),
        fold=fold.index,
        base_fold=fold.base,
        recipe=name,
        cases=fold.training,
        pretraining_seed=seed,
        pretraining_steps=tuple(recipe.pretraining_steps or ()),
    )


def _finetunings(study: Study, labels: Labels, folds: StudyFolds) -> list[Run]:
    """Of one amount of labels: every draw, seed, fold, budget and method."""
    runs = []
    for (i, draw), (j, seed) in product(enumerate(labels.all_draws), enumerate(labels.seeds)):
        # Draws and seeds take turns with the pre-trainings, so that each of them meets every one.
        pretraining_seed = study.pretraining_seeds[(i + j) % len(study.pretraining_seeds)]
        for base, budget, method in product(study.folds, study.budgets_of(labels), study.methods_of(labels)):
            fold = folds.labels[base, labels.title, draw]
            for steps in study.pretraining_steps_of(method):
                factors = _Factors(draw, seed, budget, pretraining_seed, steps)
                runs.append(_finetuning(study, method, labels, factors, fold))
    return runs


@dataclass(frozen=True)
class _Factors:
    """What of a fine-tuned run is varied beside its method and its labels; see `Run`."""

    draw: int | None
    seed: int
    budget: int | None
    pretraining_seed: int
    pretraining_steps: int | None


def _finetuning(study: Study, method: tuple[str, str], labels: Labels, factors: _Factors, fold: LabelFold) -> Run:
    name, schedule = method
    section = study.recipes[name] if schedule else study.controls[name]
    how = study.schedules[schedule].assignments if schedule else []
    numbers = {"draw": factors.draw, "seed": factors.seed, "steps": factors.budget, "after": factors.pretraining_steps}
    parts = [study.name, name, *([schedule] if schedule else []), labels.title]
    plans = "_".join([*parts, *(f"{what}{number}" for what, number in numbers.items() if number is not None)])
    return Run(
        name=f"{plans}_fold{fold.base}",
        trainer=study.schedules[schedule].trainer if schedule else section.trainer,
        plans=plans,
        source=section.plans or study.plans,
        options=_words(study.plan_options, section.plan_options),
        settings=(*study.assignments, *section.assignments, *how, *_given(study, labels, factors)),
        fold=fold.index,
        base_fold=fold.base,
        recipe=name,
        cases=fold.training,
        pretraining_seed=factors.pretraining_seed if schedule else None,
        pretraining_steps=(factors.pretraining_steps,) if factors.pretraining_steps else (),
        schedule=schedule,
        labels=labels.title,
        patients=fold.patients,
        draw=factors.draw,
        seed=factors.seed,
        budget=factors.budget,
        pretraining=_pretraining_name(study, name, factors.pretraining_seed, fold.base) if schedule else "",
    )


def _given(study: Study, labels: Labels, factors: _Factors) -> list[str]:
    """Settings that the study gives to a fine-tuned run."""
    given = [f"{study.downstream}.seed={factors.seed}"]
    if study.downstream == "classification":
        given += [
            f"classification.columns={json.dumps(study.columns)}",
            f"classification.label_fraction={labels.fraction}",
            f"classification.label_seed={factors.draw or 0}",
        ]
    return given


def _words(*options: str) -> tuple[str, ...]:
    return tuple(word for text in options for word in shlex.split(text))
