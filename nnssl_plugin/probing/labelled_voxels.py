"""The one place where segmentation labels are read without a network being trained on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from nnssl_plugin.data.case_index import open_image
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import is_unlabelled

# Of each label value of a case to learn from, and of a case's foreground to be scored on.
LEARNED = 100
SCORED = 300


@dataclass(frozen=True)
class LabelledVoxels:
    """Sampled voxels of a case.

    `places`: `[V, 3]`. `targets`: `[V, R]`, whether in each region. `scored`: `[V]`; the others are learned from.
    """

    places: npt.NDArray
    targets: npt.NDArray[np.bool_]
    scored: npt.NDArray[np.bool_]


def probed_regions(dataset_json: Mapping[str, Any], dataset: str) -> dict[str, tuple[int, ...]]:
    """Region or class of nnU-Net's `dataset.json` → label values; the background and voxels to be ignored are none.

    Raises:
        InputError: the labels are placeholders.
    """
    if is_unlabelled(dataset_json):
        raise InputError(f"{dataset} is unlabelled: its labels are placeholders, and nothing can be evaluated on them")
    regions = {name: value for name, value in dataset_json["labels"].items() if name not in ("background", "ignore")}
    return {name: tuple(value) if isinstance(value, list) else (value,) for name, value in regions.items()}


def sample_voxels(records: Sequence[CaseRecord], regions: Mapping[str, Sequence[int]]) -> list[LabelledVoxels]:
    """Voxels of each case, the same for every network.

    As many of each label value to learn from; to be scored on, an even sample of the foreground, which keeps the labels' shares.

    Raises:
        InputError: a case has no preprocessed segmentation.
    """
    return [_of_case(record, regions) for record in tqdm(records, "Reading labels for the probe")]


def _of_case(record: CaseRecord, regions: Mapping[str, Sequence[int]]) -> LabelledVoxels:
    file = record.file.with_name(f"{record.case}_seg.b2nd")
    if not file.is_file():
        raise InputError(f"case {record.case} has no preprocessed segmentation {file}: preprocess the data set again")
    rng = np.random.default_rng(0)
    # nnU-Net writes −1 outside of the brain or body, which is background.
    labels = np.maximum(np.asarray(open_image(file)[:])[0], 0)
    known = {0}.union(*map(set, regions.values()))
    foreground = record.read_locations()
    foreground = foreground[rng.permutation(len(foreground))].astype(int)
    foreground = foreground[np.isin(labels[tuple(foreground.T)], list(known))]
    learned = [foreground[labels[tuple(foreground.T)] == 0][:LEARNED]]
    for value in sorted(known - {0}):
        found = np.flatnonzero(labels == value)
        chosen = rng.choice(found, min(LEARNED, len(found)), replace=False)
        learned.append(np.stack(np.unravel_index(chosen, labels.shape), axis=1))
    scored = foreground[-SCORED:]
    places = np.concatenate([*learned, scored])
    values = labels[tuple(places.T)]
    return LabelledVoxels(
        places,
        np.stack([np.isin(values, list(members)) for members in regions.values()], axis=1),
        np.arange(len(places)) >= len(places) - len(scored),
    )
