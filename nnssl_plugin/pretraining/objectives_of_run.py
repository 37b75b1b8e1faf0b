"""What a pre-training run will do, from its settings and plans alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnssl_plugin.data.case_index import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.view_budget import ViewBudget, fit_views
from nnssl_plugin.settings.settings import PretrainingSettings

# nnU-Net's planners fill 8 GB with 1.0 to 1.1 (plain) or 1.4 to 1.6 (residual encoder) 10^9 values of feature maps.
BYTES_PER_VALUE = 8


def active_objectives(settings: PretrainingSettings) -> dict[str, Any]:
    """Name → settings of the objectives whose weight is not 0."""
    sections = {name: getattr(settings.objectives, name) for name in OBJECTIVES}
    return {name: section for name, section in sections.items() if section.weight > 0}


def check_objectives(
    active: dict[str, Any], dataset: str, modalities: list[str], configuration: ConfigurationManager
) -> None:
    """Check that there is an objective, and that each has the modalities and encoder stages it needs.

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
    for name, section in active.items():
        needed = OBJECTIVES[name].fewest_modalities(section)
        if len(modalities) < needed:
            raise InputError(
                f"{dataset} has {len(modalities)} modality ({', '.join(modalities)}); the objective {name} needs {needed} or "
                "more. What works on one: restoration of masked cubes (nnssl_plugin plan --preset restoration), and contrast "
                "of a modality with itself (pairs=same of contrastive or local_contrastive); set "
                f"pretraining.objectives.{name}.weight=0"
            )
        OBJECTIVES[name].check_settings(section, len(modalities), stages)


def check_cohort(active: dict[str, Any], records: Sequence[CaseRecord]) -> None:
    """Check that the cases of the run have what each objective compares.

    Raises:
        InputError: too few patients have the modalities an objective needs.
    """
    for name, section in active.items():
        modalities, patients = OBJECTIVES[name].fewest_modalities(section), OBJECTIVES[name].fewest_patients
        usable = {record.patient for record in records if record.present.sum() >= modalities}
        if len(usable) < patients:
            raise InputError(
                f"{len(usable)} patients have images of {modalities} or more modalities; the objective {name} needs {patients} "
                f"such patients to compare. Add some with pretraining.datasets, or set pretraining.objectives.{name}.weight=0"
            )


def view_budget(settings: PretrainingSettings, configuration: ConfigurationManager) -> ViewBudget:
    """Crop size and patches per step of the run.

    Raises:
        InputError: as `fit_views`.
    """
    return fit_views(
        configuration.patch_size,
        configuration.batch_size,
        np.prod(configuration.pool_op_kernel_sizes, axis=0).tolist(),
        sum(OBJECTIVES[name].views_per_patch for name in active_objectives(settings)),
        settings.patients_per_step,
        settings.crop_size,
    )


def expected_memory(
    settings: PretrainingSettings, configuration: ConfigurationManager, channels: int
) -> tuple[float, float]:
    """Memory of a pre-training step and of a supervised step of the same plans, in GB, mixed precision.

    Reckoned as nnU-Net's planner sizes a batch, by the values in the network's feature maps. Heads are left out: they are
    small, but for the similarities of local contrast's places, a square of patches times `locations` for each stage.
    """
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    network: Any = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        channels,
        2,
        allow_init=False,
        deep_supervision=False,
    )
    budget = view_budget(settings, configuration)
    ours = 0
    for name in active_objectives(settings):
        objective = OBJECTIVES[name]
        maps = network.encoder.compute_conv_feature_map_size(budget.crop_size)
        if objective.needs_decoder:
            maps += network.decoder.compute_conv_feature_map_size(budget.crop_size)
        ours += maps * objective.views_per_patch * budget.patients
    supervised = network.compute_conv_feature_map_size(configuration.patch_size) * configuration.batch_size
    return float(ours) * BYTES_PER_VALUE / 1e9, float(supervised) * BYTES_PER_VALUE / 1e9
