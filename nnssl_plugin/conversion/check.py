from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnssl_plugin.conversion.case import LABEL, Case
from nnssl_plugin.conversion.label_scheme import values_in
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.image_file import geometry_differences, read_checked_header
from nnssl_plugin.images.parallel import in_parallel


@dataclass(frozen=True)
class CheckedCase:
    """`problems`: what is wrong with the case, one line each. `values`: of its segmentation, where it has one."""

    case: Case
    problems: list[str]
    values: set[int]


def check_cases(cases: Sequence[Case]) -> list[CheckedCase]:
    """Check that the files of each case can be read, are complete and share one geometry."""
    return in_parallel(_check, cases, "checking cases")


def _check(case: Case) -> CheckedCase:
    files: dict[str, Path] = {**case.images, **({LABEL: case.label} if case.label else {})}
    headers = {}
    problems = []
    values: set[int] = set()
    for what, path in files.items():
        try:
            headers[what] = read_checked_header(path)
            if what == LABEL:
                values = values_in(path)
        except InputError as error:
            problems.append(f"{what}: {error}")
    reference, *others = headers or [""]
    for what in others:
        for difference in geometry_differences(headers[reference], headers[what]):
            problems.append(f"{what} ({files[what]}) is not on the grid of {reference}: {difference}")
    return CheckedCase(case, problems, values)
