from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LABEL = "label"

# Case → what is wrong with it, one line each.
Problems = dict[str, list[str]]


@dataclass(frozen=True)
class Case:
    """The files of one examination. `images`: modality → file in channel order, without those the case lacks."""

    name: str
    patient: str
    images: Mapping[str, Path]
    label: Path | None = None


def collect_cases(
    files: Iterable[tuple[str, str, Path]], modalities: Sequence[str], patient_of: Callable[[str], str]
) -> tuple[list[Case], Problems]:
    """Group files into cases, sorted by name.

    Args:
        files: case name, modality or `LABEL`, file.
        modalities: in channel order.
        patient_of: patient of a case name.

    Returns:
        The cases, and the problems of those that are left out because two files claim one place.
    """
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for name, role, path in files:
        found[name][role].append(path)
    cases: list[Case] = []
    problems: Problems = {}
    for name, roles in sorted(found.items()):
        doubles = {role: paths for role, paths in roles.items() if len(paths) > 1}
        if doubles:
            problems[name] = [
                f"{len(paths)} files for one {role}: {', '.join(map(str, paths))}; keep one of them"
                for role, paths in doubles.items()
            ]
            continue
        images = {modality: roles[modality][0] for modality in modalities if modality in roles}
        cases.append(Case(name, patient_of(name), images, roles[LABEL][0] if LABEL in roles else None))
    return cases, problems
