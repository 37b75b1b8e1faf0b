"""What was seen of the scans of a case."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CheckedScan:
    """What was seen of a scan; JSON-ready.

    Attributes:
        size: in voxels, X, Y, Z.
        spacing: in mm, X, Y, Z.
        background, foreground, constant, notes: see `Intensities`.
        resampled: None for a scan that stays on its grid, else the share of the reference's voxels that it covers.
        content: hash of the voxel values of an image; None for a segmentation and for an image of one value.
        machine: MR, CT, …, where DICOM says so.
    """

    size: Sequence[int]
    spacing: Sequence[float]
    background: float | None = None
    foreground: float | None = None
    constant: bool = False
    notes: Sequence[str] = ()
    resampled: float | None = None
    content: str | None = None
    machine: str | None = None


@dataclass(frozen=True)
class CheckedCase:
    """`problems`: what is wrong with the case, one line each. `values`: of its segmentation, where it has one."""

    problems: list[str]
    values: list[int]
    scans: dict[str, CheckedScan]


def median_geometry(cases: Sequence[CheckedCase]) -> tuple[list[int], list[float]]:
    """Median size in voxels and spacing in mm, X, Y, Z, of the first scan of each case."""
    firsts = [next(iter(case.scans.values())) for case in cases]
    size = np.median([first.size for first in firsts], axis=0)
    return [int(edge) for edge in size], np.median([first.spacing for first in firsts], axis=0).tolist()
