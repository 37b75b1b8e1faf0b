from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from batchgenerators.dataloading.data_loader import SlimDataLoaderBase
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter
from threadpoolctl import threadpool_limits

from nnssl_plugin.data.case_index import CaseRecord, open_image
from nnssl_plugin.data.foreground import foreground_mask
from nnssl_plugin.data.patch_position import draw_patch_position
from nnssl_plugin.transforms.augmentation import Augmentation
from nnssl_plugin.transforms.denormalization import DenormalizationTransform, IntensityStatistics


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

    Every step takes a patch of each of `batch_size` different patients; a cohort with fewer repeats some, with other
    patches. Runs in nnU-Net's worker processes (`NonDetMultiThreadedAugmenter`) and can be pickled.

    Batch: see `nnssl_plugin.objectives.objective.PretrainingBatch`; `keys` holds the names of the cases.

    Args:
        records: cases to draw from.
        patients: index of every patient of the cohort.
        batch_size: patches per step.
        patch_size: what the network gets, two or three axes.
        minimum_foreground: see `draw_patch_position`.
        denormalization: DAD.
        augmentation: nnU-Net's transforms, intensities drawn apart for a patch and its denormalised counterpart.
        augment: false to measure on plain patches. Only the counterpart of a case's single modality, which has no other to
            take statistics from, is augmented then: it would be the patch itself.
    """

    def __init__(
        self,
        records: Sequence[CaseRecord],
        patients: Mapping[str, int],
        batch_size: int,
        patch_size: Sequence[int],
        minimum_foreground: float,
        denormalization: DenormalizationTransform,
        augmentation: Augmentation,
        augment: bool = True,
    ) -> None:
        super().__init__(list(records), batch_size)
        self.patch_is_2d = len(patch_size) == 2
        flat = (1,) if self.patch_is_2d else ()
        self.patch_size = np.array([*flat, *patch_size])
        self.read_size = np.array([*flat, *(augmentation.initial_patch_size if augment else patch_size)])
        self.minimum_foreground = minimum_foreground
        self.denormalization = denormalization
        self.augmentation = augmentation
        self.augment = augment
        self.patients = patients
        by_patient: dict[str, list[CaseRecord]] = {}
        for record in records:
            by_patient.setdefault(record.patient, []).append(record)
        self.records_of = list(by_patient.values())

    def generate_train_batch(self) -> dict[str, Any]:
        """Draw a batch."""
        with torch.no_grad(), threadpool_limits(limits=1, user_api=None):
            records = self._draw_cases()
            samples = [self._draw_patch(record) for record in records]
        batch: dict[str, Any] = {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}
        return {**batch, "keys": [record.case for record in records]}

    def _draw_cases(self) -> list[CaseRecord]:
        patients: list[int] = []
        while len(patients) < self.batch_size:
            patients += np.random.permutation(len(self.records_of)).tolist()[: self.batch_size - len(patients)]
        return [self.records_of[p][np.random.randint(len(self.records_of[p]))] for p in patients]

    def _draw_patch(self, record: CaseRecord) -> dict[str, torch.Tensor]:
        image = open_image(record.file)
        start = draw_patch_position(
            image.shape[1:], self.patch_size, record.locations, record.foreground_voxels, self.minimum_foreground
        )
        start = start - (self.read_size - self.patch_size) // 2
        box = [[int(s), int(s + size)] for s, size in zip(start, self.read_size, strict=True)]
        crop = crop_and_pad_nd(image, box, pad_value=np.nan)
        padding = np.isnan(crop[0])
        # As in nnU-Net's own loader, what lies outside the image is 0.
        crop = np.nan_to_num(crop, nan=0.0)
        mask = foreground_mask(crop, record.background, record.present) & ~padding
        data = torch.from_numpy(crop).float()
        # nnU-Net's transforms carry a mask along in the segmentation's place: −1 is outside.
        outside = torch.from_numpy(np.where(mask, 0, -1).astype(np.int16))[None]
        if self.patch_is_2d:
            data, outside = data[:, 0], outside[:, 0]
        sample = {"image": data, "segmentation": outside}
        if self.augment:
            sample = self.augmentation.spatial(**sample)
        patient = self.patients[record.patient]
        parameters = self.denormalization.get_parameters(**sample, present=record.present, patient=patient)
        denormalized = self.denormalization.apply(dict(sample), **parameters)
        # Intensities change in place: the two images must not share memory by now.
        if self.augment:
            sample = self.augmentation.intensity(**{**sample, "image": sample["image"].clone()})
        if self.augment or record.present.sum() == 1:
            denormalized = self.augmentation.intensity(**denormalized)
        present = torch.from_numpy(record.present)
        # Augmentation adds noise to a missing modality; it stays constant.
        shown = present.view(-1, *[1] * (sample["image"].ndim - 1))
        return {
            "data": sample["image"] * shown,
            "denormalized": denormalized["image"] * shown,
            "denormalized_target": torch.from_numpy(parameters["target"]),
            "foreground": sample["segmentation"] >= 0,
            "present": present,
            "patient": torch.tensor(patient),
        }


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
