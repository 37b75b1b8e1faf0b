"""Whether the scans of a case can be read and belong together; every voxel is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from nnssl_plugin.conversion.case import LABEL, Case
from nnssl_plugin.conversion.intensity import look_at
from nnssl_plugin.conversion.label_scheme import values_in
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.image_file import geometry_differences
from nnssl_plugin.images.resampling import overlap


@dataclass(frozen=True)
class CheckedScan:
    """What was seen of a scan; JSON-ready.

    `size` in voxels and `spacing` in mm, both X, Y, Z. `resampled`: None for a scan that stays on its grid, else the
    share of the reference's voxels that it covers. The others: see `Intensities`.
    """

    size: Sequence[int]
    spacing: Sequence[float]
    background: float | None = None
    foreground: float | None = None
    constant: bool = False
    notes: Sequence[str] = ()
    resampled: float | None = None


@dataclass(frozen=True)
class CheckedCase:
    """`problems`: what is wrong with the case, one line each. `values`: of its segmentation, where it has one."""

    problems: list[str]
    values: list[int]
    scans: dict[str, CheckedScan]


def check_case(case: Case, resample_to: str | None = None, smallest_overlap: float = 0.0) -> CheckedCase:
    """Read every scan of a case and compare their grids.

    Args:
        case: to be checked.
        resample_to: modality on whose grid the others will be resampled; None to refuse other grids.
        smallest_overlap: share of its voxels that a scan on another grid must cover.
    """
    problems: list[str] = []
    values: set[int] = set()
    scans: dict[str, CheckedScan] = {}
    reference: sitk.Image | None = None
    # The reference first; one image at a time is in memory beside its header.
    order = sorted(case.scans, key=lambda role: role != resample_to)
    if resample_to is not None and case.images and resample_to not in case.images:
        return CheckedCase([f"lacks {resample_to}, on whose grid its scans were to be resampled"], [], {})
    for role in order:
        scan = case.scans[role]
        try:
            image = scan.load()
            voxels = sitk.GetArrayViewFromImage(image)
            if role == LABEL:
                values = values_in(voxels)
        except InputError as error:
            problems.append(f"{role}: {_naming(str(error), str(scan))}")
            continue
        seen = look_at(voxels) if role != LABEL else None
        if role != LABEL and seen is None:
            problems.append(f"{role}: {scan} holds NaN or infinite intensities; repair or remove it")
            continue
        if role == resample_to and seen is not None and seen.constant:
            problems.append(f"{role}: {scan} is constant; nothing can be resampled onto it")
            continue
        resampled = None
        if reference is None:
            reference, reference_role = sitk.Image(image.GetSize(), sitk.sitkUInt8), role
            reference.CopyInformation(image)
        elif differences := geometry_differences(reference, image):
            if resample_to is None:
                problems += [
                    f"{role} ({scan}) is not on the grid of {reference_role}: {difference}. Register or resample it first "
                    "(in one physical space: convert folder --resample-to)"
                    for difference in differences
                ]
                continue
            resampled = overlap(image, reference)
            if resampled < smallest_overlap:
                problems.append(
                    f"{role} ({scan}) covers {resampled:.0%} of {reference_role}, less than {smallest_overlap:.0%}"
                )
                continue
        geometry = {"size": image.GetSize(), "spacing": image.GetSpacing()}
        if seen is None:
            scans[role] = CheckedScan(**geometry, resampled=resampled)
        else:
            scans[role] = CheckedScan(
                **geometry,
                background=seen.background,
                foreground=seen.foreground,
                constant=seen.constant,
                notes=seen.notes,
                resampled=resampled,
            )
    if reference is None and not problems:
        problems.append("has no image")
    return CheckedCase(problems, sorted(values), scans)


def median_geometry(cases: Sequence[CheckedCase]) -> tuple[list[int], list[float]]:
    """Median size in voxels and spacing in mm, X, Y, Z, of the first scan of each case."""
    firsts = [next(iter(case.scans.values())) for case in cases]
    size = np.median([first.size for first in firsts], axis=0)
    return [int(edge) for edge in size], np.median([first.spacing for first in firsts], axis=0).tolist()


def _naming(message: str, scan: str) -> str:
    return message if scan.split(",")[0] in message else f"{scan}: {message}"
