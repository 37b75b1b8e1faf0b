from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import channel_names
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.pretraining.active_objectives import (
    active_objectives,
    check_objectives,
    needs_of,
    recipe_of,
    weighted_objectives,
)
from nnssl_plugin.pretraining.step_budget import StepBudget, describe_budget, step_budget
from nnssl_plugin.settings.settings import PretrainingSettings


@dataclass(frozen=True)
class PretrainingRun:
    """What a pre-training run will do, from its settings, plans and channels alone.

    Attributes:
        plans: of the run. name: of the configuration that is trained. configuration: with what it inherits.
        modalities: channel names.
        settings: of pre-training.
        active: name → settings of its objectives. needs: name → what the objective asks for.
        budget: of a step.
        weighted: names of the objectives whose pairs have learned weights.
    """

    plans: Mapping[str, Any]
    name: str
    configuration: ConfigurationManager
    modalities: tuple[str, ...]
    settings: PretrainingSettings
    active: Mapping[str, Any]
    needs: Mapping[str, Needs]
    budget: StepBudget
    weighted: tuple[str, ...]

    @property
    def recipe(self) -> str:
        """As `recipe_of`."""
        return recipe_of(self.settings)


def pretraining_run(
    plans: Mapping[str, Any],
    configuration: str,
    dataset_json: Mapping[str, Any],
    settings: PretrainingSettings,
    processes: int = 1,
) -> PretrainingRun:
    """Work out a run of that many processes.

    Raises:
        InputError: the objectives do not fit the data set, the plans or one another, the message says what does; `keep` or
            `probe` is beyond the run.
    """
    for name, epochs in (("keep", settings.keep), ("probe", settings.probe)):
        if epochs and max(epochs) > settings.epochs:
            raise InputError(
                f"pretraining.{name} {epochs} names epochs that a run of {settings.epochs} (pretraining.epochs) does not reach"
            )
    planned = PlansManager(dict(plans)).get_configuration(configuration)
    modalities = tuple(channel_names(dataset_json))
    active = active_objectives(settings)
    check_objectives(active, plans["dataset_name"], modalities, planned)
    needs = needs_of(active)
    budget = step_budget(settings, needs, planned, len(modalities), processes)
    weighted = weighted_objectives(active)
    return PretrainingRun(plans, configuration, planned, modalities, settings, active, needs, budget, weighted)


def describe_run(run: PretrainingRun, cohort: Sequence[CaseRecord], world: int) -> list[str]:
    """What a run of `world` processes is about to do, in lines for its log."""
    patients = len({record.patient for record in cohort})
    what = f"Pre-training on {len(cohort)} cases of {patients} patients, no labels: {run.recipe}"
    lines = [what, *describe_budget(run.budget, run.settings, world)]
    if run.weighted:
        lines.append(
            f"{run.settings.meta.held_out:.0%} of the patients are held out: by them the weights of pairs ({', '.join(run.weighted)}) are "
            f"learned, every {run.settings.meta.every} steps"
        )
    return lines
