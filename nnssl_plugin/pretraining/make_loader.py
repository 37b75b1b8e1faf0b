from collections.abc import Callable, Mapping, Sequence

from nnssl_plugin.data.batch import Image, Patches
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.loader import (
    PretrainingDataLoader,
    SideData,
    intensity_statistics,
    patient_indices,
    records_of_process,
)
from nnssl_plugin.data.patch_sampler import PatchRequest, PatchSampler
from nnssl_plugin.pretraining.run import PretrainingRun
from nnssl_plugin.pretraining.step_budget import PatchBudget
from nnssl_plugin.transforms.augmentation import Augmentation
from nnssl_plugin.transforms.denormalization import DenormalizationTransform


def make_loader(
    run: PretrainingRun,
    cohort: Sequence[CaseRecord],
    patches: Mapping[Patches, PatchBudget],
    augmentation: Callable[[Sequence[int]], Augmentation],
    augment: bool,
    rank: int = 0,
    world: int = 1,
) -> PretrainingDataLoader:
    """A loader that makes of each kind of patches what the objectives ask for, together.

    Args:
        run: whose objectives ask.
        cohort: cases of the run; this process draws from its share.
        patches: of this process, kind → size and number.
        augmentation: patch size → nnU-Net's transforms for it.
        augment: false to measure on plain patches, whose clean image is always there.
        rank: of this process.
        world: number of processes.
    """
    denormalization = denormalization_of(run, cohort)
    samplers: dict[Patches, PatchSampler] = {}
    side_data: dict[Patches, dict[str, SideData]] = {}
    for kind, own in patches.items():
        needs = {name: need for name, need in run.needs.items() if need.patches == kind}
        measured: tuple[Image, ...] = () if augment else ("clean",)
        request = PatchRequest(
            own.patch_size,
            own.patches,
            tuple(dict.fromkeys([*measured, *(image for need in needs.values() for image in need.images)])),
            any(need.second_crop for need in needs.values()),
            max(need.neighbours for need in needs.values()),
            any(need.supervoxels for need in needs.values()),
            next((need.frames for need in needs.values() if need.frames is not None), None),
        )
        transforms = augmentation(own.patch_size)
        samplers[kind] = PatchSampler(request, run.settings.minimum_foreground, denormalization, transforms, augment)
        side_data[kind] = {name: need.side_data for name, need in needs.items() if need.side_data is not None}
    in_a_step = max(kind.patches for kind in run.budget.kinds.values())
    records = records_of_process(cohort, rank, world, in_a_step)
    return PretrainingDataLoader(records, patient_indices(cohort), samplers, side_data)


def denormalization_of(run: PretrainingRun, cohort: Sequence[CaseRecord]) -> DenormalizationTransform:
    """DAD with the statistics of the cohort."""
    return DenormalizationTransform(intensity_statistics(cohort), run.settings.denormalization)
