from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

# What the loader can make of a patch. augmented: nnU-Net's spatial and intensity transforms; clean: the spatial ones only;
# denormalized: the spatial ones, DAD, and intensity transforms drawn apart from those of the augmented image.
Image = Literal["augmented", "clean", "denormalized"]
# Patches of the plans' own size and batch size, or smaller ones of many different patients.
Patches = Literal["plans", "patients"]


@dataclass
class PretrainingBatch:
    """Patches of one step that are of one kind (`Patches`): B patches of C modalities; `*P` has two or three axes.

    What is not asked for by an objective (`Needs`) is not there.

    Attributes:
        images: `[B, C, *P]` of each kind asked for; all show the same places. A missing modality is constant.
        foreground: `[B, 1, *P]`, bool, from the image before augmentation.
        present: `[B, C]`, bool, which modalities the case has.
        patient: `[B]`, index of the patient, the same in every process.
        denormalized_target: `[B, C]`, the modality whose statistics each channel of the denormalised image has; the channel
            itself where a case has no other one.
        coordinates: `[B, axes, *P]`, position of every voxel in the case's image, in voxels; with a second crop only. Outside
            the image (never foreground) they mean nothing.
        second: the second crop of every patch.
        neighbours: `[B, 2k + 1, C, *P]`, clean, the k slices or frames before each patch, the patch, the k after it.
        frame_pair: `[B, 2, C, *P]`, two mixtures of ordered frames around the patch (`nnssl_plugin.data.frames`), augmented apart;
            one channel where the frames are modalities.
        supervoxels: `[B, 1, *P]`, number of the supervoxel of every voxel within its case; outside the image of the nearest one.
        side_data: name of the objective → what its `Needs.side_data` read for each case, stacked.
        cases: names of the cases.
    """

    images: dict[str, Tensor]
    foreground: Tensor
    present: Tensor
    patient: Tensor
    denormalized_target: Tensor | None = None
    coordinates: Tensor | None = None
    second: "PretrainingBatch | None" = None
    neighbours: Tensor | None = None
    frame_pair: Tensor | None = None
    supervoxels: Tensor | None = None
    side_data: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    cases: list[str] = field(default_factory=list)

    @property
    def patch_size(self) -> tuple[int, ...]:
        """`*P`."""
        return tuple(self.foreground.shape[2:])


def batches_from_loader(flat: Mapping[str, Any], device: torch.device) -> dict[str, PretrainingBatch]:
    """Kind of patches → batch, on `device`, of what the loader hands over.

    Args:
        flat: `KIND/name` → value; batchgenerators pins the tensors of a flat dict only.
        device: where the tensors are moved to.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for key, value in flat.items():
        kind, _, name = key.partition("/")
        if name:
            moved = value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            kinds.setdefault(kind, {})[name] = moved
    return {kind: _batch(values) for kind, values in kinds.items()}


def _batch(values: Mapping[str, Any]) -> PretrainingBatch:
    sections: dict[str, dict[str, Any]] = {}
    own = {}
    for key, value in values.items():
        section, _, name = key.partition("/")
        if name:
            sections.setdefault(section, {})[name] = value
        else:
            own[key] = value
    side_data: dict[str, dict[str, Tensor]] = {}
    for key, value in sections.get("side_data", {}).items():
        objective, _, name = key.partition("/")
        side_data.setdefault(objective, {})[name] = value
    second = sections.get("second")
    shared = {key: own[key] for key in ("present", "patient", "cases")}
    return PretrainingBatch(
        images=sections.get("images", {}),
        second=None if second is None else _batch({**second, **shared}),
        side_data=side_data,
        **own,
    )
