"""Whether the scans of a case can be read and belong together; every voxel is looked at."""

from dataclasses import dataclass, replace

import SimpleITK as sitk

from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.checked import CheckedCase, CheckedScan
from nnssl_plugin.conversion.dicom import DicomFolder
from nnssl_plugin.conversion.intensity import look_at
from nnssl_plugin.conversion.label_scheme import LABEL
from nnssl_plugin.conversion.label_values import values_in
from nnssl_plugin.conversion.position import compare_positions
from nnssl_plugin.conversion.scan import NOTES, Scan
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.content_hash import content_hash
from nnssl_plugin.images.dicom_series import MACHINE
from nnssl_plugin.images.image_file import geometry_differences
from nnssl_plugin.images.resampling import overlap
from nnssl_plugin.images.unequal_texts import unequal_texts


@dataclass(frozen=True)
class Grids:
    """What is done with scans on another grid than the first.

    Attributes:
        resample_to: modality on whose grid the others will be resampled; None to refuse other grids.
        smallest_overlap: share of its voxels that a scan on another grid must cover.
        advice: what the user can do where other grids are refused.
    """

    resample_to: str | None = None
    smallest_overlap: float = 0.0
    advice: str = "Register or resample it first"


def check_case(case: Case, grids: Grids = Grids()) -> CheckedCase:
    """Read every scan of a case and compare their grids.

    Nothing that is wrong with a file raises an error: it becomes a problem of the case.
    """
    if grids.resample_to is not None and case.images and grids.resample_to not in case.images:
        return CheckedCase([f"lacks {grids.resample_to}, on whose grid its scans were to be resampled"], [], {})
    problems: list[str] = []
    values: set[int] = set()
    scans: dict[str, CheckedScan] = {}
    reference: tuple[str, sitk.Image] | None = None
    # The reference first; one image at a time is in memory beside its header.
    for role in sorted(case.scans, key=lambda role: role != grids.resample_to):
        scan = case.scans[role]
        try:
            image = scan.load()
            if role == LABEL:
                values = values_in(sitk.GetArrayViewFromImage(image))
                seen = CheckedScan(image.GetSize(), image.GetSpacing())
            else:
                seen = _look_at_image(image, scan)
            if role == grids.resample_to and seen.constant:
                raise InputError(f"{scan} is constant; nothing can be resampled onto it")
            if reference is None:
                reference = role, sitk.Image(image.GetSize(), sitk.sitkUInt8)
                reference[1].CopyInformation(image)
            else:
                seen = replace(seen, resampled=_share_if_resampled(image, str(scan), *reference, grids))
            scans[role] = seen
        except InputError as error:
            problems.append(f"{role}: {_naming(str(error), str(scan))}")
        # A file of a kind that nobody has thought of costs its case, not the cohort.
        except Exception as error:
            problems.append(f"{role}: {scan} cannot be read ({type(error).__name__}: {error})")
    if not scans and not problems:
        problems.append("has no image")
    if not problems:
        resampled = {role for role, seen in scans.items() if seen.resampled is not None}
        problems, notes = compare_positions(case.scans, resampled)
        scans = {role: replace(seen, notes=(*seen.notes, *notes.get(role, ()))) for role, seen in scans.items()}
    return CheckedCase(problems, sorted(values), scans)


def _look_at_image(image: sitk.Image, scan: Scan) -> CheckedScan:
    voxels = sitk.GetArrayViewFromImage(image)
    seen = look_at(voxels)
    if seen is None:
        raise InputError(f"{scan} holds NaN or infinite intensities; repair or remove it")
    done = image.GetMetaData(NOTES) if image.HasMetaDataKey(NOTES) else ""
    return CheckedScan(
        image.GetSize(),
        image.GetSpacing(),
        background=seen.background,
        foreground=seen.foreground,
        constant=seen.constant,
        notes=(*seen.notes, *([done] if done else [])),
        content=None if seen.constant else content_hash(voxels),
        machine=scan.tag(MACHINE) if isinstance(scan, DicomFolder) else None,
    )


def _share_if_resampled(
    image: sitk.Image, scan: str, reference_role: str, reference: sitk.Image, grids: Grids
) -> float | None:
    """None if an image is on the grid of the reference, else the share of it that the image covers."""
    differences = geometry_differences(reference, image)
    if not differences:
        return None
    if grids.resample_to is None:
        raise InputError(f"{scan} is not on the grid of {reference_role}: {'; '.join(differences)}. {grids.advice}")
    share = overlap(image, reference)
    if share < grids.smallest_overlap:
        covered, wanted = unequal_texts(100 * share, 100 * grids.smallest_overlap, digits=3)
        raise InputError(f"{scan} covers {covered}% of {reference_role}, less than {wanted}%")
    return share


def _naming(message: str, scan: str) -> str:
    return message if scan.split(",")[0] in message else f"{scan}: {message}"
