"""Which objectives a pre-training run has, what they need, and whether its data can give it."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.settings.settings import PretrainingSettings


def active_objectives(settings: PretrainingSettings) -> dict[str, Any]:
    """Name → settings of the objectives whose weight is not 0."""
    sections = {name: getattr(settings.objectives, name) for name in OBJECTIVES}
    return {name: section for name, section in sections.items() if section.weight > 0}


def recipe_of(settings: PretrainingSettings) -> str:
    """`slem (weight 1), restoration (weight 0.5)`."""
    active = active_objectives(settings)
    return ", ".join(f"{name} (weight {section.weight:g})" for name, section in active.items())


def needs_of(active: Mapping[str, Any]) -> dict[str, Needs]:
    """Name → what the objective asks for."""
    return {name: OBJECTIVES[name].needs(section) for name, section in active.items()}


def weighted_objectives(active: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the objectives whose pairs have learned weights."""
    return tuple(name for name, section in active.items() if getattr(section, "weighting", "mean") == "meta")


def check_objectives(
    active: Mapping[str, Any], dataset: str, modalities: Sequence[str], configuration: ConfigurationManager
) -> None:
    """Check that there is an objective, and that each has the modalities, encoder stages and slices it needs.

    Raises:
        InputError: otherwise, or the network of the plans has no stages; it names what works.
    """
    if not active:
        raise InputError("every objective has weight 0: set pretraining.objectives.NAME.weight of one above it")
    if "strides" not in configuration.network_arch_init_kwargs:
        raise InputError(
            f"pre-training works with nnU-Net's plain and residual encoder U-Nets, with the contextual fusion block or "
            f"without; the plans describe {configuration.network_arch_class_name}"
        )
    stages = len(configuration.network_arch_init_kwargs["strides"])
    needs = needs_of(active)
    for name, need in needs.items():
        if len(modalities) < need.modalities:
            raise InputError(
                f"{dataset} has {len(modalities)} modality ({', '.join(modalities)}); the objective {name} needs "
                f"{need.modalities} or more. What works on one: restoration of masked cubes (nnssl_plugin plan --preset "
                "restoration), and contrast of a modality with itself (pairs=same of contrastive or local_contrastive); set "
                f"pretraining.objectives.{name}.weight=0"
            )
        if need.neighbours and len(configuration.patch_size) == 3:
            raise InputError(
                f"the objective {name} takes neighbouring slices, which only a 2d configuration has; pre-train 2d, or set "
                f"pretraining.objectives.{name}.weight=0"
            )
        if need.frames is not None and need.frames.of == "slices" and len(configuration.patch_size) == 3:
            raise InputError(
                f"the objective {name} takes slices for frames, which only a 2d configuration has; pre-train 2d, or set "
                f"pretraining.objectives.{name}.frames=modalities"
            )
        OBJECTIVES[name].check_settings(active[name], len(modalities), stages)
        _check_stages(name, "encoder", need.encoder_stages, stages)
        _check_stages(name, "decoder", need.decoder_stages, stages - 1)
    for what in ("neighbours", "supervoxels", "frames"):
        asking = {name: getattr(need, what) for name, need in needs.items() if getattr(need, what)}
        if len(set(asking.values())) > 1:
            raise InputError(
                f"objectives ask for different {what} ({', '.join(f'{name}: {value}' for name, value in asking.items())}), of "
                f"which a run has one kind: make them equal, or set pretraining.objectives.{[*asking][-1]}.weight=0"
            )


def _check_stages(name: str, kind: str, wanted: Sequence[int], stages: int) -> None:
    """Check that the network has every stage wanted, −1 the last."""
    if beyond := [stage for stage in wanted if not -stages <= stage <= -1]:
        raise InputError(
            f"the objective {name} looks at {kind} stages {', '.join(map(str, beyond))} (-1 is the last); the network of these "
            f"plans has {stages}. Change pretraining.objectives.{name}, or set pretraining.objectives.{name}.weight=0"
        )


def check_cohort(active: Mapping[str, Any], records: Sequence[CaseRecord]) -> None:
    """Check that the cases of the run have what each objective compares.

    Raises:
        InputError: too few patients have the modalities an objective needs.
    """
    for name, need in needs_of(active).items():
        usable = {record.patient for record in records if record.present.sum() >= need.modalities}
        if len(usable) < need.patients:
            raise InputError(
                f"{len(usable)} patients have images of {need.modalities} or more modalities; the objective {name} needs "
                f"{need.patients} such patients to compare. Add some with pretraining.datasets, or set "
                f"pretraining.objectives.{name}.weight=0"
            )
