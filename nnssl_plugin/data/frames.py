"""Two mixtures of three ordered frames: the positive pair of Meta-USCL (IEEE TMI 2022, arXiv 2212.04097)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError

FrameKind = Literal["slices", "modalities"]
Unit = Literal["frames", "seconds"]
# Column of the cases' table: seconds from one frame of a clip to the next.
FRAME_SECONDS = "frame_seconds"
# Of the shares of the middle frame, a Beta distribution [code].
BETA = (3, 5)


@dataclass(frozen=True)
class FrameRequest:
    """Which frames are mixed.

    Attributes:
        of: `slices` of a volume, which are the frames of a clip, or the `modalities` of a case.
        distance: between neighbouring frames at most, in `unit`; of slices only.
        unit: slices, or seconds.
    """

    of: FrameKind
    distance: float
    unit: Unit


def check_frames(request: FrameRequest, records: Sequence[CaseRecord]) -> None:
    """Check that every case says how long a frame lasts, where distances are in seconds.

    Raises:
        InputError: one does not.
    """
    if request.of != "slices" or request.unit != "seconds":
        return
    for record in records:
        try:
            known = float(record.table[FRAME_SECONDS]) > 0
        except (KeyError, ValueError):
            known = False
        if not known:
            raise InputError(
                f"case {record.case} does not say how long a frame lasts ({FRAME_SECONDS} of the data set's table, which nnssl_plugin "
                "convert ultrasound writes): set pretraining.objectives.frame_contrast.unit=frames"
            )


def largest_gap(request: FrameRequest, record: CaseRecord) -> int:
    """Frames from one of the three to the next, at most; one at least."""
    distance = request.distance
    if request.unit == "seconds":
        distance /= float(record.table[FRAME_SECONDS])
    return max(1, int(distance))


def draw_slices(middle: int, count: int, gap: int) -> tuple[int, ...]:
    """Up to three slices in order, about `middle`, each 1 to `gap` from the next; fewer where there are fewer than three."""
    if count < 3:
        return tuple(range(count))
    before, after = np.random.randint(1, min(gap, (count - 1) // 2) + 1, size=2)
    first = int(np.clip(middle - before, 0, count - 1 - before - after))
    return first, first + int(before), first + int(before + after)


def mixtures(frames: Sequence[npt.NDArray]) -> tuple[npt.NDArray, npt.NDArray]:
    """x₁ = (1 − α) f₁ + α f₂ and x₂ = β f₂ + (1 − β) f₃ with α, β ~ Beta(3, 5); two frames are not mixed, one is taken twice."""
    if len(frames) < 3:
        return frames[0], frames[-1]
    alpha, beta = np.random.beta(*BETA, size=2).astype(frames[0].dtype)
    return (1 - alpha) * frames[0] + alpha * frames[1], beta * frames[1] + (1 - beta) * frames[2]
