"""File-name patterns that tell modalities apart; the `*` of a pattern is the case."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from nnssl_plugin.conversion.case import Case, Problems, collect_cases, duplicate_id
from nnssl_plugin.conversion.dicom import DicomFolder
from nnssl_plugin.conversion.folder_listing import files_below
from nnssl_plugin.conversion.label_scheme import LABEL
from nnssl_plugin.conversion.scan import Picture, Scan, scan_of
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.picture import COLOURS

# Name of the modality whose files are colour pictures.
COLOUR = "RGB"


def modality_patterns(assignments: Sequence[str]) -> dict[str, str]:
    """Name → pattern from assignments like `T1=*_t1.nii.gz`.

    Raises:
        InputError: an assignment is none, or repeats a name.
    """
    patterns: dict[str, str] = {}
    for assignment in assignments:
        name, _, pattern = assignment.partition("=")
        if not name or not pattern or name in patterns:
            raise InputError(f"--modality {assignment!r}: expected another NAME=PATTERN, like T1=*_t1.nii.gz")
        patterns[name] = pattern
    return patterns


def channels_of(modalities: Iterable[str]) -> list[str]:
    """Modalities as channels: a colour picture (`RGB`) has three."""
    return [name for modality in modalities for name in (COLOURS if modality == COLOUR else (modality,))]


def cases_by_patterns(
    folder: Path, modalities: Mapping[str, str], label: str | None, patient_of: Callable[[str], str | None]
) -> tuple[list[Case], Problems]:
    """Cases of the files, or folders of DICOM slices, that match a pattern.

    Args:
        folder: searched with everything below it.
        modalities: name → file name, or end of the path (`*/FLAIR.nii.gz`), with one `*` for the case; with a `/` at its
            end it names folders that hold the slices of a DICOM series. `RGB` is of colour pictures, whose channels become
            modalities.
        label: pattern of the segmentations.
        patient_of: patient of a case name; None where nobody said whose it is.

    Returns:
        As `collect_cases`; a file whose `*` stands for nothing, and, where the `*` is a folder, cases that several folders
        claim are problems too.

    Raises:
        InputError: a pattern cannot be used, or a file matches several.
    """
    patterns = {**modalities, **({LABEL: label} if label else {})}
    expressions = {role: _expression(pattern) for role, pattern in patterns.items()}
    scans: list[tuple[str, str, Scan]] = []
    homes: dict[str, set[str]] = {}
    nameless: Problems = {}
    files = files_below(folder)
    # A series is a folder that holds files itself.
    series = sorted({file.parent for file in files} - {folder})
    for path, is_series in [*((file, False) for file in files), *((parent, True) for parent in series)]:
        inside = path.relative_to(folder).as_posix() + ("/" if is_series else "")
        matches = {role: match for role, expression in expressions.items() if (match := expression.fullmatch(inside))}
        if len(matches) > 1:
            raise InputError(f"{path} matches the patterns of {' and '.join(matches)}: make them differ")
        for role, match in matches.items():
            if not match["case"]:
                nameless[inside] = [
                    f"it matches {patterns[role]!r}, but its * matches nothing, so there is no case name"
                ]
                continue
            if role == COLOUR and not is_series:
                scans += [(match["case"], name, Picture(path, channel)) for channel, name in enumerate(COLOURS)]
            else:
                scans.append((match["case"], role, DicomFolder(path) if is_series else scan_of(path)))
            if "/" in inside[match.end("case") :]:
                homes.setdefault(match["case"], set()).add(str(folder / inside[: match.end("case")]))
    cases, problems = collect_cases(scans, channels_of(modalities), patient_of)
    # A folder called ses-1 below two patients is not one case.
    table = ", or name every case in a table (--csv)"
    problems |= {case: [duplicate_id(sorted(places)) + table] for case, places in homes.items() if len(places) > 1}
    problems |= nameless
    return [case for case in cases if case.name not in problems], problems


def patient_by(expression: str | None) -> Callable[[str], str | None]:
    """Patient of a case name: the first group of a regular expression searched in it; without one, None.

    Raises:
        InputError: the expression is none, has no group or, when called, finds no patient.
    """
    if expression is None:
        return lambda case: None
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise InputError(f"--patient {expression!r} is no regular expression: {error}") from None
    if compiled.groups < 1:
        raise InputError(f"--patient {expression!r} has no group: put the part that is the patient in parentheses")

    def patient_of(case: str) -> str:
        match = compiled.search(case)
        if not match or not match[1]:
            raise InputError(f"--patient {expression!r} finds no patient in the case name {case!r}")
        return match[1]

    return patient_of


def _expression(pattern: str) -> re.Pattern[str]:
    if pattern.count("*") != 1 or pattern.startswith("/"):
        raise InputError(
            f"pattern {pattern!r}: expected a file name with one *, which stands for the case name, or the end of a path "
            "with one, like */FLAIR.nii.gz"
        )
    before, after = pattern.split("*")
    return re.compile(f"(?:.*/)?{re.escape(before)}(?P<case>[^/]*){re.escape(after)}")
