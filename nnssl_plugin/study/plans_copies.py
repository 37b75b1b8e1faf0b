"""The plans copies of a study's runs: all of them are written, or none."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.nnunet.plans_file import load_plans
from nnssl_plugin.planning.plan_options import copy_with_options, read_plan_options
from nnssl_plugin.planning.plans_copy import copy_plans
from nnssl_plugin.settings.settings import settings_from_plans
from nnssl_plugin.study.declaration import CLASSIFIER
from nnssl_plugin.study.run import Run


def make_plans(runs: Sequence[Run], dataset: str) -> dict[str, dict[str, Any]]:
    """Content of every run's plans copy, by name; nothing is written.

    Args:
        runs: of the study.
        dataset: full name.

    Raises:
        InputError: there are no such plans, or a run's options or settings do not fit them.
    """
    sources = {name: load_plans(dataset, name) for name in dict.fromkeys(run.source for run in runs)}
    made: dict[str, dict[str, Any]] = {}
    for run in tqdm(runs, desc="plans copies"):
        if run.plans in made:
            continue
        try:
            copy = copy_with_options(sources[run.source], run.plans, read_plan_options(run.options), run.settings)
            made[run.plans] = copy_plans(copy, run.plans, _in_epochs(run, copy))
        except InputError as error:
            raise InputError(f"plans of {run.name}: {error}") from None
    return made


def install_plans(made: Mapping[str, dict[str, Any]], folder: Path) -> None:
    """Write the copies into the data set's folder.

    Raises:
        InputError: one of them is there with another content; nothing is written then.
    """
    paths = {folder / f"{name}.json": content for name, content in made.items()}
    for path, content in paths.items():
        if path.is_file() and read_json(path) != content:
            raise InputError(
                f"{path} exists and is not what the study declares: the study, the plans it copies or the plugin have "
                "changed. Name the study or the recipe otherwise, or remove that file and the results made with it"
            )
    for path, content in paths.items():
        if not path.is_file():
            write_json(content, path)


def epochs_of(steps: int, iterations: int, setting: str) -> int:
    """Number of epochs that make so many steps.

    Args:
        steps: of optimisation.
        iterations: steps of an epoch.
        setting: that gives them.

    Raises:
        InputError: they are not whole epochs.
    """
    if steps % iterations:
        raise InputError(
            f"{steps} steps are not whole epochs of {iterations} steps; name a multiple, or set {setting} to a divisor"
        )
    return steps // iterations


def _in_epochs(run: Run, plans: Mapping[str, Any]) -> list[str]:
    """Settings of what the study declares in steps."""
    settings = settings_from_plans(plans)
    assignments = []
    if run.budget:
        section = "classification" if run.trainer == CLASSIFIER else "finetuning"
        iterations = getattr(settings, section).iterations_per_epoch
        epochs = epochs_of(run.budget, iterations, f"{section}.iterations_per_epoch")
        assignments.append(f"{section}.epochs={epochs}")
    if run.is_pretraining and run.pretraining_steps:
        kept = kept_epochs(run.pretraining_steps, plans)
        assignments.append(f"pretraining.keep={kept}")
    return assignments


def kept_epochs(steps: Sequence[int], plans: Mapping[str, Any]) -> list[int]:
    """Epochs after which a pre-training keeps its weights; those at its end are kept in any case.

    Raises:
        InputError: the steps are not whole epochs, or more than the pre-training has.
    """
    settings = settings_from_plans(plans).pretraining
    kept = [epochs_of(count, settings.iterations_per_epoch, "pretraining.iterations_per_epoch") for count in steps]
    if max(kept) > settings.epochs:
        raise InputError(
            f"pretraining_steps names {max(steps)}; the pre-training ends after "
            f"{settings.epochs * settings.iterations_per_epoch} steps"
        )
    return [epoch for epoch in kept if epoch < settings.epochs]
