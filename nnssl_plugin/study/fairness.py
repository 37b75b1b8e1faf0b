"""In what a recipe's fine-tuning and its control differ beside the weights that they start from."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from nnssl_plugin.nnunet.plans_file import configuration_of
from nnssl_plugin.settings.settings import settings_from_plans
from nnssl_plugin.study.declaration import CLASSIFIER
from nnssl_plugin.study.results import method_title
from nnssl_plugin.study.run import Run

# Trainers that differ in their starting weights only.
ALIKE = {"SSLFinetuneTrainer", "SSLScratchTrainer"}
SCRATCH = "scratch_"
NNUNET_SGD_RATE = 0.01


def unfair_comparisons(
    runs: Iterable[Run], controls: Mapping[str, str], plans: Mapping[str, dict[str, Any]], configuration: str
) -> dict[str, list[str]]:
    """Method → in what it differs from its control beside the weights; methods that do not are left out.

    Args:
        runs: of the study.
        controls: recipe → its control.
        plans: content of the plans copies, by name.
        configuration: of the study.
    """
    finetuned = [run for run in runs if not run.is_pretraining]
    from_scratch = {_pairing(run): run for run in finetuned if not run.schedule}
    found: dict[str, list[str]] = {}
    for run in finetuned:
        control = from_scratch.get(_pairing(run, controls[run.recipe])) if run.schedule else None
        if control and (differ := what_differs(run, control, plans, configuration)):
            title = method_title(asdict(run))
            found[title] = list(dict.fromkeys([*found.get(title, []), *differ]))
    return found


def what_differs(ours: Run, control: Run, plans: Mapping[str, dict[str, Any]], configuration: str) -> list[str]:
    """Names of what differs between two runs beside their weights, with both values where they are short."""
    differ = []
    if ours.trainer != control.trainer and not {ours.trainer, control.trainer} <= ALIKE:
        differ.append(f"trainer ({ours.trainer}, {control.trainer})")
    if ours.cases != control.cases:
        differ.append("training cases")
    here, there = (
        _flat({**configuration_of(plans[run.plans], configuration), **_settings(run, plans[run.plans])})
        for run in (ours, control)
    )
    for name in dict.fromkeys([*here, *there]):
        values = [one.get(name) for one in (here, there)]
        if values[0] != values[1]:
            differ.append(
                name if any(isinstance(one, list) for one in values) else f"{name} ({values[0]}, {values[1]})"
            )
    return differ


def _pairing(run: Run, control: str = "") -> tuple[object, ...]:
    """What a run and its control share; `control`: of a recipe's run."""
    return control or run.recipe, run.labels, run.budget, run.draw, run.seed, run.base_fold


def _settings(run: Run, plans: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of fine-tuning as far as the run's trainer follows them."""
    if run.trainer.startswith("nnUNet"):
        return {}
    if run.trainer == CLASSIFIER:
        return {"classification": asdict(settings_from_plans(plans).classification)}
    settings: dict[str, Any] = asdict(settings_from_plans(plans).finetuning)
    own = {name: settings.pop(name) for name in list(settings) if name.startswith(SCRATCH)}
    if run.trainer == "SSLScratchTrainer":
        if settings.get("optimizer") == "sgd":
            settings["initial_lr"] = NNUNET_SGD_RATE
        settings |= {name.removeprefix(SCRATCH): value for name, value in own.items() if value is not None}
    return {"finetuning": settings}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted name → value."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat
