"""Loaders of pre-training batches over a preprocessed folder, without a trainer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nnssl_plugin.data.batch import Image, Patches, PretrainingBatch, batches_from_loader
from nnssl_plugin.data.case_index import build_case_index
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.loader import PretrainingDataLoader, SideData, intensity_statistics, patient_indices
from nnssl_plugin.data.patch_sampler import PatchRequest, PatchSampler
from nnssl_plugin.transforms.augmentation import stock_augmentation
from nnssl_plugin.transforms.denormalization import DenormalizationSettings, DenormalizationTransform
from tests.synthetic import MODALITIES


def index(folder: Path, patients: dict[str, str] | None = None) -> list[CaseRecord]:
    cases = sorted(file.stem for file in folder.glob("*.b2nd") if not file.stem.endswith("_seg"))
    return build_case_index(folder, cases, MODALITIES, patients or {case: case for case in cases})


def sampler(
    records: Sequence[CaseRecord],
    patch: tuple[int, ...] = (16, 16, 16),
    size: int = 4,
    augment: bool = False,
    dummy_2d: bool = False,
    mask: bool = False,
    images: tuple[Image, ...] = ("augmented", "denormalized"),
    **more: Any,
) -> PatchSampler:
    denormalization = DenormalizationTransform(intensity_statistics(records), DenormalizationSettings())
    axes = tuple(range(len(patch)))
    augmentation = stock_augmentation(patch, (-0.5, 0.5), axes, dummy_2d, [mask] * len(records[0].present))
    request = PatchRequest(patch, size, images, **more)
    return PatchSampler(request, 0.1, denormalization, augmentation, augment)


def loader(
    records: Sequence[CaseRecord],
    patch: tuple[int, ...] = (16, 16, 16),
    side_data: Mapping[str, SideData] | None = None,
    **more: Any,
) -> PretrainingDataLoader:
    samplers: dict[Patches, PatchSampler] = {"patients": sampler(records, patch, **more)}
    return PretrainingDataLoader(records, patient_indices(records), samplers, {"patients": side_data or {}})


def draw(source: Any) -> PretrainingBatch:
    return batches_from_loader(next(source), torch.device("cpu"))["patients"]


def seed(number: int) -> None:
    np.random.seed(number)
    torch.manual_seed(number)
