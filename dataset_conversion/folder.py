"""Any folder with a file-name pattern per modality, and one for the segmentations if there are any.

`python dataset_conversion/folder.py …` is `nnssl_plugin convert folder …`.
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from nnssl_plugin.conversion.case import LABEL, collect_cases
from nnssl_plugin.conversion.convert import Target, convert_cases
from nnssl_plugin.conversion.files import files_below
from nnssl_plugin.conversion.label_scheme import LabelScheme
from nnssl_plugin.errors import InputError


def convert(
    folder: Path,
    modalities: Mapping[str, str],
    label: str | None,
    labels: LabelScheme | None,
    patient: str | None,
    target: Target,
) -> int:
    """Convert a folder.

    Args:
        folder: searched with everything below it.
        modalities: name → file-name pattern, in channel order. A pattern has one `*`, which stands for the case name.
        label: pattern of the segmentations; without one all cases are unlabelled.
        labels: what the values of the segmentations mean; None to make each value a class.
        patient: regular expression whose first group, searched in the case name, is the patient; None if each case is
            another patient.
        target: where to and how.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: the patterns fit no file or do not tell files apart, or as `convert_cases`.
    """
    patterns = {**modalities, **({LABEL: label} if label else {})}
    if label and LABEL in modalities:
        raise InputError(f"a modality cannot be called {LABEL!r}: give it another name")
    cases, problems = collect_cases(_matching_files(folder, patterns), list(modalities), _patient_of(patient))
    for role, pattern in patterns.items():
        if not problems and not any(role in case.images or (role == LABEL and case.label) for case in cases):
            raise InputError(f"no file below {folder} matches {pattern!r} ({role})")
    default_name = re.sub(r"[^A-Za-z0-9_-]", "", folder.resolve().name)
    return convert_cases(cases, problems, list(modalities), labels, target, default_name, "nnssl_plugin convert folder")


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


def _matching_files(folder: Path, patterns: Mapping[str, str]) -> Iterator[tuple[str, str, Path]]:
    expressions = {role: _expression(pattern) for role, pattern in patterns.items()}
    for path in files_below(folder):
        matches = {
            role: match for role, expression in expressions.items() if (match := expression.fullmatch(path.name))
        }
        if len(matches) > 1:
            raise InputError(f"{path} matches the patterns of {' and '.join(matches)}: make them differ")
        for role, match in matches.items():
            if not match["case"]:
                raise InputError(
                    f"{path} matches {patterns[role]!r}, but its * stands for nothing: no case name is left"
                )
            yield match["case"], role, path


def _expression(pattern: str) -> re.Pattern[str]:
    if pattern.count("*") != 1 or "/" in pattern:
        raise InputError(f"pattern {pattern!r}: expected a file name with one *, which stands for the case name")
    before, after = pattern.split("*")
    return re.compile(f"{re.escape(before)}(?P<case>.*){re.escape(after)}")


def _patient_of(expression: str | None) -> Callable[[str], str]:
    if expression is None:
        return lambda case: case
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


if __name__ == "__main__":
    from nnssl_plugin.cli import main

    sys.exit(main(["convert", "folder", *sys.argv[1:]]))
