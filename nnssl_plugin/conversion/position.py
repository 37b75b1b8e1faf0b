"""Whether the headers of a case's scans agree on where they lie: the two transforms of a NIfTI file are two witnesses."""

from collections.abc import Collection, Mapping

from nnssl_plugin.conversion.dicom import DicomFolder
from nnssl_plugin.conversion.scan import Channel, ImageFile, Scan
from nnssl_plugin.images.dicom_series import FRAME_OF_REFERENCE
from nnssl_plugin.images.nifti_header import is_nifti, read_nifti_header

ADVICE = (
    "programs differ in which of them they use. Find out which is right and write it to both, for example with nibabel's "
    "set_sform and set_qform"
)


def compare_positions(scans: Mapping[str, Scan], resampled: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Compare sform, qform and pixdim of the NIfTI files of a case, with each other and between scans.

    Where sform and qform of all scans disagree in the same way, and none is resampled, the scans still lie on each other,
    whichever is used: that is a note, not a problem.

    Args:
        scans: role → scan of a case, all readable.
        resampled: roles of those that will be resampled by their position.

    Returns:
        Problems, one line each; role → notes.
    """
    headers = {
        role: read_nifti_header(scan.path)
        for role, scan in scans.items()
        if isinstance(scan, ImageFile | Channel) and is_nifti(scan.path)
    }
    spacing = {role: text for role, header in headers.items() if (text := header.spacing_contradiction())}
    position = {role: text for role, header in headers.items() if (text := header.position_contradiction())}
    problems = [f"{role}: {scans[role]}: {text}: {ADVICE}" for role, text in spacing.items()]
    if position and not resampled and headers.keys() == scans.keys():
        first = next(iter(headers.values()))
        if all(header.is_placed_as(first) for header in headers.values()):
            return problems, {role: [f"{text}, as in every scan of the case"] for role, text in position.items()}
    problems += [f"{role}: {scans[role]}: {text}: {ADVICE}" for role, text in position.items() if role not in spacing]
    if resampled:
        frames = {scan.tag(FRAME_OF_REFERENCE) for scan in scans.values() if isinstance(scan, DicomFolder)} - {None}
        if len(frames) > 1:
            problems.append(
                "its series have different frames of reference in their headers, so scans cannot be resampled by position: "
                "register them"
            )
        problems += [
            f"{role}: {scans[role]} does not say where it lies (its sform and qform codes are 0), so scans cannot be resampled by "
            "position"
            for role, header in headers.items()
            if header.sform is None and header.qform is None
        ]
        in_template = [role for role, header in headers.items() if header.is_in_template is True]
        in_scanner = [role for role, header in headers.items() if header.is_in_template is False]
        if in_template and in_scanner:
            problems.append(
                f"{', '.join(in_template)} lies in the space of a template and {', '.join(in_scanner)} in that of a scanner "
                "(sform and qform codes), so scans cannot be resampled by position: register them"
            )
    return problems, {}
