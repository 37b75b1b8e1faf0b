"""One patch of a case: read, moved, denormalised and augmented as asked for, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from acvl_utils.cropping_and_padding.bounding_boxes import crop_and_pad_nd
from torch import Tensor

from nnssl_plugin.data.batch import Image
from nnssl_plugin.data.case_index import open_image
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.foreground import foreground_mask
from nnssl_plugin.data.frames import FrameRequest, draw_slices, largest_gap, mixtures
from nnssl_plugin.data.patch_position import draw_patch_position
from nnssl_plugin.data.supervoxels import look_up
from nnssl_plugin.transforms.augmentation import Augmentation, stays_in_place
from nnssl_plugin.transforms.denormalization import DenormalizationTransform

# A second crop starts within this share of the patch of the first one, on every axis.
LARGEST_SHIFT = 0.5


@dataclass(frozen=True)
class PatchRequest:
    """What the patches of one kind are made of.

    Attributes:
        patch_size: what the network gets, two or three axes.
        patches: in a step of this process.
        images: what of each patch.
        second_crop, neighbours, frames: see `nnssl_plugin.objectives.needs.Needs`.
        supervoxels: whether the cases have them, and patches get them.
    """

    patch_size: tuple[int, ...]
    patches: int
    images: tuple[Image, ...]
    second_crop: bool = False
    neighbours: int = 0
    supervoxels: bool = False
    frames: FrameRequest | None = None


class PatchSampler:
    """Draws patches of one kind; can be pickled.

    Args:
        request: of what they are made.
        minimum_foreground: see `draw_patch_position`.
        denormalization: DAD.
        augmentation: nnU-Net's transforms, intensities drawn apart for every image.
        augment: false for plain patches: the augmented image is the clean one then. Only the denormalised image of a case's
            single modality, which has no other to take statistics from, is augmented: it would be the patch itself.
    """

    def __init__(
        self,
        request: PatchRequest,
        minimum_foreground: float,
        denormalization: DenormalizationTransform,
        augmentation: Augmentation,
        augment: bool,
    ) -> None:
        self.request = request
        self.minimum_foreground = minimum_foreground
        self.denormalization = denormalization
        self.augmentation = augmentation
        self.augment = augment
        size = request.patch_size
        self.flat = len(size) == 2
        flat = (1,) if self.flat else ()
        self.patch_size = np.array([*flat, *size])
        self.read_size = np.array([*flat, *(augmentation.initial_patch_size if augment else size)])

    def draw(self, record: CaseRecord, patient: int) -> dict[str, Tensor]:
        """One patch: names as in `PretrainingBatch`, without the batch's axis; the patient has this index."""
        image = open_image(record.file)
        start = draw_patch_position(
            image.shape[1:], self.patch_size, record.read_locations(), record.foreground_voxels, self.minimum_foreground
        )
        sample = self._patch(image, record, patient, start)
        if self.request.second_crop:
            second = self._patch(image, record, patient, self._shifted(start, image.shape[1:]))
            sample |= {f"second/{name}": value for name, value in second.items()}
        if self.request.frames is not None:
            sample["frame_pair"] = self._frame_pair(image, record, start, self.request.frames)
        return {**sample, "present": torch.from_numpy(record.present), "patient": torch.tensor(patient)}

    def _shifted(self, start: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        """Where the second crop starts: near the first, inside the image where it is large enough."""
        most = (self.patch_size * LARGEST_SHIFT).astype(int)
        moved = start + np.random.randint(-most, most + 1)
        room = np.asarray(shape) - self.patch_size
        shifted: np.ndarray = np.where(room >= 0, np.clip(moved, 0, np.maximum(room, 0)), start)
        return shifted

    def _patch(self, image: Any, record: CaseRecord, patient: int, start: np.ndarray) -> dict[str, Tensor]:
        request, channels = self.request, len(record.present)
        rotation = self.augmentation.draw_rotation() if self.augment else None
        size = self.patch_size if stays_in_place(rotation) else self.read_size
        stack, mask = self._read(image, record, start - (size - self.patch_size) // 2, size)
        data, inside = torch.from_numpy(stack).float(), torch.from_numpy(mask.astype(np.int16))[None]
        if self.flat:
            data, inside = data[:, 0], inside[:, 0]
        if self.augment:
            data, inside = self._move(data, inside, rotation)
        # nnU-Net's intensity transforms want −1 outside a mask, but its spatial ones give 0 to what was not read.
        outside = inside - 1
        shown = torch.from_numpy(record.present).view(-1, *[1] * (data.ndim - 1))
        result: dict[str, Tensor] = {"foreground": outside >= 0}
        if request.neighbours:
            slices = 2 * request.neighbours + 1
            neighbours = data[: slices * channels].unflatten(0, (slices, channels))
            result["neighbours"] = neighbours * shown
            data = torch.cat([neighbours[request.neighbours], data[slices * channels :]])
        if request.second_crop:
            result["coordinates"] = data[channels:].clone()
        if request.supervoxels:
            places = data[channels:].numpy()
            if self.flat:
                places = np.stack([np.full_like(places[0], start[0]), *places])
            result["supervoxels"] = torch.from_numpy(look_up(record, image.shape[1:], places)).long()[None]
        clean = data[:channels]
        for name, values in self._images(clean, outside, record, patient).items():
            # Augmentation adds noise to a missing modality; it stays constant.
            result[name] = values * shown if name.startswith("images/") else values
        return result

    def _move(self, data: Tensor, inside: Tensor, rotation: dict[str, Any] | None) -> tuple[Tensor, Tensor]:
        """What was read, rotated as drawn, and mirrored."""
        if stays_in_place(rotation):
            moved = self.augmentation.mirroring(image=data, segmentation=inside)
        elif rotation is not None and self.augmentation.rotation is not None:
            # The mask goes with the images: as a segmentation it would be looked up and interpolated once more.
            both = torch.cat([data, self._without_rim(inside)])
            moving = self.augmentation.rotation.apply({"image": both}, **rotation)["image"]
            moved = self.augmentation.mirroring(image=moving[:-1], segmentation=(moving[-1:] >= 0.5).to(inside.dtype))
        else:
            moved = self.augmentation.spatial(image=data, segmentation=self._without_rim(inside))
        return moved["image"], moved["segmentation"]

    def _frame_pair(self, image: Any, record: CaseRecord, start: np.ndarray, request: FrameRequest) -> Tensor:
        """`[2, C (or 1), *P]`: mixtures of frames, each moved and augmented by itself."""
        first = start - (self.read_size - self.patch_size) // 2
        if request.of == "slices":
            count = image.shape[1]
            slices = draw_slices(int(np.clip(start[0], 0, count - 1)), count, largest_gap(request, record))
            boxes = [_box([z, *first[1:]], self.read_size) for z in slices]
            crops = [crop_and_pad_nd(image, box) for box in boxes]
            shown = torch.from_numpy(record.present).view(-1, *[1] * len(self.request.patch_size))
        else:
            boxes = [_box(first, self.read_size)]
            crop = crop_and_pad_nd(image, boxes[0])
            chosen = np.random.permutation(np.flatnonzero(record.present))[:3]
            crops = [crop[channel : channel + 1] for channel in chosen]
            shown = torch.ones(1)
        beyond = torch.from_numpy(inside_image(boxes[0], image.shape[1:]).astype(np.int16) - 1)[None]
        views = []
        for mixture in mixtures(crops):
            data = torch.from_numpy(np.array(mixture)).float()
            outside = beyond.clone()
            if self.flat:
                data, outside = data[:, 0], outside[:, 0]
            if self.augment:
                moved = self.augmentation.spatial(image=data, segmentation=outside)
                data = self.augmentation.intensity(**moved)["image"]
            elif len(crops) == 1:
                # One frame twice would be told by being the same.
                data = self.augmentation.intensity(image=data, segmentation=outside)["image"]
            views.append(data * shown)
        return torch.stack(views)

    def _without_rim(self, inside: Tensor) -> Tensor:
        """No foreground on the rim of what is read: spatial transforms blend it with the nothing beyond."""
        for axis, (read, size) in enumerate(zip(self.read_size[::-1], self.patch_size[::-1], strict=True), start=1):
            if read > size:
                inside.index_fill_(inside.ndim - axis, torch.tensor([0, int(read) - 1]), 0)
        return inside

    def _images(self, clean: Tensor, outside: Tensor, record: CaseRecord, patient: int) -> dict[str, Tensor]:
        """The images asked for, each with memory of its own: intensities change in place."""
        wanted, result = self.request.images, {}
        sample = {"image": clean, "segmentation": outside}
        denormalized = None
        if "denormalized" in wanted:
            parameters = self.denormalization.get_parameters(**sample, present=record.present, patient=patient)
            denormalized = self.denormalization.apply(dict(sample), **parameters)
            result["denormalized_target"] = torch.from_numpy(parameters["target"])
        if "clean" in wanted:
            result["images/clean"] = clean.clone()
        if "augmented" in wanted:
            own = {**sample, "image": clean.clone()}
            result["images/augmented"] = (self.augmentation.intensity(**own) if self.augment else own)["image"]
        if denormalized is not None:
            if self.augment or record.present.sum() == 1:
                denormalized = self.augmentation.intensity(**denormalized)
            result["images/denormalized"] = denormalized["image"]
        return result

    def _read(
        self, image: Any, record: CaseRecord, start: np.ndarray, size: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`[C (or (2k + 1) C, slice by slice) + axes of coordinates, *S]` from `start` on, and the foreground `[*S]`."""
        request = self.request
        box = _box(start, size)
        # As in nnU-Net's own loader, what lies outside the image is 0.
        crop = crop_and_pad_nd(image, box)
        mask = foreground_mask(crop, record.background, record.present) & inside_image(box, image.shape[1:])
        parts = [crop]
        if request.neighbours:
            around = range(box[0][0] - request.neighbours, box[0][0] + request.neighbours + 1)
            # The first and the last slice are their own neighbours.
            inside = [min(max(z, 0), image.shape[1] - 1) for z in around]
            parts = [crop if z == box[0][0] else crop_and_pad_nd(image, [[z, z + 1], *box[1:]]) for z in inside]
        if request.second_crop or request.supervoxels:
            grid = np.meshgrid(*(np.arange(low, high) for low, high in box), indexing="ij")
            parts.append(np.stack(grid[-len(request.patch_size) :]).astype(crop.dtype))
        return parts[0] if len(parts) == 1 else np.concatenate(parts), mask


def _box(start: Sequence[Any] | np.ndarray, size: np.ndarray) -> list[list[int]]:
    """What is read from `start` on."""
    return [[int(low), int(low + edge)] for low, edge in zip(start, size, strict=True)]


def inside_image(box: Sequence[Sequence[int]], shape: Sequence[int]) -> np.ndarray:
    """Which voxels of a box are of an image of this shape; `[*S]`, bool."""
    inside = np.zeros([high - low for low, high in box], dtype=bool)
    inside[tuple(slice(max(-low, 0), max(size - low, 0)) for (low, _), size in zip(box, shape, strict=True))] = True
    return inside
