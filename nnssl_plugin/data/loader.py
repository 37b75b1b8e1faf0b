from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.data_loader import SlimDataLoaderBase
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from torch import Tensor

from nnssl_plugin.data.batch import Patches
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.one_thread import one_thread
from nnssl_plugin.data.patch_sampler import PatchSampler
from nnssl_plugin.data.worker_end import end_with_parent
from nnssl_plugin.transforms.denormalization import IntensityStatistics

SideData = Callable[[CaseRecord], Mapping[str, Tensor]]


def patient_indices(records: Sequence[CaseRecord]) -> dict[str, int]:
    """Patient → index, the same in every process."""
    return {patient: i for i, patient in enumerate(sorted({record.patient for record in records}))}


def records_of_process(records: Sequence[CaseRecord], rank: int, world: int, patches: int) -> list[CaseRecord]:
    """Cases process `rank` of `world` draws from, so that no patient is drawn twice in a step of `patches` patches.

    A cohort with fewer patients than that is drawn from by all.
    """
    patients = patient_indices(records)
    if len(patients) < patches:
        return list(records)
    return [record for record in records if patients[record.patient] % world == rank]


def intensity_statistics(records: Sequence[CaseRecord]) -> IntensityStatistics:
    """The statistics that denormalisation draws its targets from."""
    patients = patient_indices(records)
    return IntensityStatistics(
        patient=np.array([patients[record.patient] for record in records]),
        present=np.stack([record.present for record in records]),
        mean=np.stack([record.mean for record in records]),
        std=np.stack([record.std for record in records]),
        quantiles=np.stack([record.quantiles for record in records]),
    )


class PretrainingDataLoader(SlimDataLoaderBase):
    """Draws patches for pre-training; reads images, never a segmentation or nnU-Net's class locations.

    Every step takes patches of different patients, of each kind that the objectives ask for; a cohort with fewer patients
    repeats some, with other patches. Runs in nnU-Net's worker processes (`NonDetMultiThreadedAugmenter`) and can be pickled.
    What it hands over becomes batches by `nnssl_plugin.data.batch.batches_from_loader`.

    Args:
        records: cases to draw from.
        patients: index of every patient of the cohort.
        samplers: kind of patches → what draws them.
        side_data: kind of patches → name of an objective → what reads its side data.
    """

    def __init__(
        self,
        records: Sequence[CaseRecord],
        patients: Mapping[str, int],
        samplers: Mapping[Patches, PatchSampler],
        side_data: Mapping[Patches, Mapping[str, SideData]],
    ) -> None:
        super().__init__(list(records), sum(sampler.request.patches for sampler in samplers.values()))
        self.patients = patients
        self.samplers = samplers
        self.side_data = side_data
        by_patient: dict[str, list[CaseRecord]] = {}
        for record in records:
            by_patient.setdefault(record.patient, []).append(record)
        self.records_of = list(by_patient.values())

    def set_thread_id(self, thread_id: int) -> None:
        """Called as a worker process begins."""
        super().set_thread_id(thread_id)
        end_with_parent()

    def generate_train_batch(self) -> dict[str, Any]:
        """Draw the patches of a step: `KIND/name` → their values, stacked."""
        batch: dict[str, Any] = {}
        with torch.no_grad(), one_thread():
            for kind, sampler in self.samplers.items():
                records = self._draw_cases(sampler.request.patches)
                samples = [self._draw(kind, sampler, record) for record in records]
                batch |= {f"{kind}/{key}": torch.stack([sample[key] for sample in samples]) for key in samples[0]}
                batch[f"{kind}/cases"] = [record.case for record in records]
        return batch

    def _draw_cases(self, count: int) -> list[CaseRecord]:
        patients: list[int] = []
        while len(patients) < count:
            patients += np.random.permutation(len(self.records_of)).tolist()[: count - len(patients)]
        return [self.records_of[p][np.random.randint(len(self.records_of[p]))] for p in patients]

    def _draw(self, kind: Patches, sampler: PatchSampler, record: CaseRecord) -> dict[str, Tensor]:
        sample = sampler.draw(record, self.patients[record.patient])
        for name, read in self.side_data.get(kind, {}).items():
            sample |= {f"side_data/{name}/{key}": value for key, value in read(record).items()}
        return sample


def in_worker_processes(
    loader: SlimDataLoaderBase, processes: int, pin_memory: bool
) -> NonDetMultiThreadedAugmenter | SingleThreadedAugmenter:
    """Run a loader as nnU-Net does: in that many workers, or in this process for none."""
    if processes == 0:
        return SingleThreadedAugmenter(loader, None)
    generator = NonDetMultiThreadedAugmenter(
        data_loader=loader,
        transform=None,
        num_processes=processes,
        num_cached=max(3, processes // 2),
        # Forked workers share torch's state, which nnU-Net's transforms draw from: each needs a seed of its own.
        seeds=np.random.randint(2**31, size=processes).tolist(),
        pin_memory=pin_memory,
        wait_time=0.002,
    )
    # Workers start with the first batch, before training is timed.
    next(generator)
    return generator
