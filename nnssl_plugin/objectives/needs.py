from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from nnssl_plugin.data.batch import Image, Patches
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.frames import FrameRequest


@dataclass(frozen=True)
class Needs:
    """What an objective asks for; the loader, the network and the budget of a step bring this and nothing else.

    Attributes:
        patches: `plans`: of the plans' own patch and batch size; `patients`: smaller ones of many different patients.
        images: what of each patch.
        views: how many views of a patch's size the network encodes for each patch; a smaller view counts by its share of
            the patch's voxels.
        teacher_views: the same, of views that the teacher encodes, without gradient. A teacher is a copy of the network
            whose weights only the objective changes (`Objective.after_step`).
        encoder_stages: encoder stages its loss looks at, −1 the bottleneck, −2 the one above it, and so on.
        decoder_stages: decoder stages its loss looks at, −1 the last, at full resolution.
        second_crop: a second patch of the same case that overlaps the first, and the coordinates of both.
        neighbours: slices or frames on each side of a patch; in 2d configurations only. One number in a run.
        supervoxels: of every patch, as large on average as a cube of this edge in voxels; 0: none. One edge in a run.
        frames: two mixtures of ordered frames around every patch, augmented apart. One kind in a run.
        side_data: reads what belongs to a case beside its images, in the loader's worker processes: tensors of the same
            shapes for every case. It must be a function of a module, so that it can be sent to a worker.
        modalities: fewest modalities of a data set, and of the cases that it learns from.
        patients: fewest patients it takes to learn anything.
    """

    patches: Patches
    images: tuple[Image, ...]
    views: float
    teacher_views: float = 0
    encoder_stages: tuple[int, ...] = (-1,)
    decoder_stages: tuple[int, ...] = ()
    second_crop: bool = False
    neighbours: int = 0
    supervoxels: int = 0
    frames: FrameRequest | None = None
    side_data: Callable[[CaseRecord], Mapping[str, Tensor]] | None = None
    modalities: int = 1
    patients: int = 1
