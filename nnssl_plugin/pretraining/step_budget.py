"""How many patches of which size fit into a step that costs no more than a supervised one of the same plans."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, prod

import numpy as np
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager

from nnssl_plugin.data.batch import Patches
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.feature_map_values import FeatureMaps, feature_map_values
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.pretraining.crop_sizes import check_crop, crops, smallest_crop
from nnssl_plugin.settings.settings import PretrainingSettings

# nnU-Net's planners fill 8 GB with 1.0 to 1.1 (plain) or 1.4 to 1.6 (residual encoder) 10^9 values of feature maps.
BYTES_PER_VALUE = 8
# What the teacher encodes needs a forward pass and no backward one, which is twice as long.
FORWARD_ALONE = 1 / 3
# Where some objectives want the plans' patches and others small ones of many patients, either gets half of the step.
SHARE_OF_PLANS_PATCHES = 0.5


@dataclass(frozen=True)
class PatchBudget:
    """Patches of one kind in a step: their size `*P` in voxels, and how many."""

    patch_size: tuple[int, ...]
    patches: int


@dataclass(frozen=True)
class StepBudget:
    """Patches of a step.

    Attributes:
        kinds: what the objectives ask for.
        values: in the feature maps of a step, which its time and memory go by. supervised: in those of a supervised step.
    """

    kinds: Mapping[Patches, PatchBudget]
    values: float
    supervised: float

    @property
    def cost(self) -> float:
        """Against a supervised step of the same plans."""
        return self.values / self.supervised

    @property
    def gigabytes(self) -> tuple[float, float]:
        """Memory of a step and of a supervised one in mixed precision, as nnU-Net's planner estimates it.

        Heads are left out: they are small, but for the similarities of local contrast's places, in each stage twice
        patches · `locations` · (`locations` + `negatives`).
        """
        return self.values * BYTES_PER_VALUE / 1e9, self.supervised * BYTES_PER_VALUE / 1e9


def step_budget(
    settings: PretrainingSettings,
    needs: Mapping[str, Needs],
    configuration: ConfigurationManager,
    channels: int,
    processes: int = 1,
) -> StepBudget:
    """Patches of a run's steps, so that a step costs no more than a supervised one.

    Cost is the number of values in the feature maps, as nnU-Net's planner sizes a batch: of the encoder for every view, of
    the decoder for those that it decodes. Every one of `processes` gets a patch of the plans' kind where their batch size
    allows it, if need be a smaller one.

    Raises:
        InputError: `pretraining.crop_size` is impossible.
    """
    maps = feature_map_values(configuration, channels)
    patch, stride = configuration.patch_size, np.prod(configuration.pool_op_kernel_sizes, axis=0).tolist()
    supervised = maps(patch, True) * configuration.batch_size
    plans = [need for need in needs.values() if need.patches == "plans"]
    patients = [need for need in needs.values() if need.patches == "patients"]
    kinds: dict[Patches, PatchBudget] = {}
    spent = 0.0
    if plans:
        share = supervised * (SHARE_OF_PLANS_PATCHES if patients else 1)
        kinds["plans"] = _plans_patches(plans, maps, share, patch, configuration.batch_size, stride, processes)
        spent = _cost(plans, maps, kinds["plans"])
    if patients:
        kinds["patients"] = _small_patches(patients, maps, supervised - spent, patch, stride, settings)
        spent += _cost(patients, maps, kinds["patients"])
    return StepBudget(kinds, spent, supervised)


def patches_of_process(budget: StepBudget, world: int) -> dict[Patches, PatchBudget]:
    """Kind → patches of each of `world` processes.

    Raises:
        InputError: there are fewer patches of a kind than processes.
    """
    fewest = min(patches.patches for patches in budget.kinds.values())
    if fewest < world:
        raise InputError(
            f"{fewest} patch{'es' * (fewest > 1)} a step cannot be split over {world} GPUs; use at most {fewest} of them, or raise the batch size "
            "of the plans (nnssl_plugin plan --batch-size)"
        )
    return {kind: PatchBudget(p.patch_size, p.patches // world) for kind, p in budget.kinds.items()}


def describe_budget(budget: StepBudget, settings: PretrainingSettings, world: int = 1) -> list[str]:
    """What a step of the run is made of, in a line, and a line for each thing that does not fit."""
    what = {"plans": "", "patients": " of different patients"}
    patches = [
        f"{p.patches} patch{'es' * (p.patches > 1)} of {' x '.join(map(str, p.patch_size))} voxels{what[kind]}"
        for kind, p in budget.kinds.items()
    ]
    lines = [f"{' and '.join(patches)} a step, at {budget.cost:.2f} times the cost of a supervised step of these plans"]
    small = budget.kinds.get("patients")
    if small and small.patches < settings.patients_per_step:
        lines.append(
            f"pretraining.patients_per_step asks for {settings.patients_per_step} patients, there is room for "
            f"{small.patches}: using {small.patches}. A larger batch size in the plans makes room"
        )
    if small is None and settings.crop_size is not None:
        lines.append(
            f"pretraining.crop_size {settings.crop_size} has no effect: these objectives take patches of the plans' own size"
        )
    uneven = {kind: p.patches // world * world for kind, p in budget.kinds.items() if p.patches % world}
    lines += [
        f"{budget.kinds[kind].patches} patches do not split evenly over {world} GPUs: using {used}"
        for kind, used in uneven.items()
    ]
    return lines


def _cost(needs: Iterable[Needs], maps: FeatureMaps, budget: PatchBudget) -> float:
    each = sum(
        maps(budget.patch_size, bool(need.decoder_stages)) * (need.views + FORWARD_ALONE * need.teacher_views)
        for need in needs
    )
    return each * budget.patches


def _plans_patches(
    needs: Sequence[Needs],
    maps: FeatureMaps,
    room: float,
    patch: Sequence[int],
    batch_size: int,
    stride: Sequence[int],
    processes: int,
) -> PatchBudget:
    """As many patches of the plans' size as there is room for, or of the largest size with room for one per process."""
    smallest, fewest = smallest_crop(patch, stride), min(processes, batch_size)
    for crop in sorted(crops(patch, smallest, stride), key=prod, reverse=True):
        patches = min(batch_size, floor(room / _cost(needs, maps, PatchBudget(crop, 1))))
        if patches >= fewest:
            return PatchBudget(crop, patches)
    return PatchBudget(smallest, fewest)


def _small_patches(
    needs: Sequence[Needs],
    maps: FeatureMaps,
    room: float,
    patch: Sequence[int],
    stride: Sequence[int],
    settings: PretrainingSettings,
) -> PatchBudget:
    """The largest patches for which there is room for `patients_per_step` of them; fewer, but two, of the smallest size.

    Raises:
        InputError: `crop_size` has the wrong number of axes, is not divisible by the stride, too small or too large.
    """
    smallest, patients, crop_size = smallest_crop(patch, stride), settings.patients_per_step, settings.crop_size
    if crop_size is not None:
        check_crop(crop_size, smallest, stride)
        crop = tuple(crop_size)
    else:
        sizes = crops(patch, smallest, stride)
        fits = [size for size in sizes if _cost(needs, maps, PatchBudget(size, patients)) <= room]
        crop = max(fits, key=prod, default=smallest)
    patches = min(patients, floor(room / _cost(needs, maps, PatchBudget(crop, 1))))
    if crop_size is not None and patches < 2:
        raise InputError(
            f"pretraining.crop_size {list(crop_size)} leaves no room for two patients in a step that costs no more than a "
            f"supervised one of these plans (patch size {list(patch)}); take a smaller one"
        )
    return PatchBudget(crop, max(2, patches))
