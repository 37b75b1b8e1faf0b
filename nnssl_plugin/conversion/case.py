from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnssl_plugin.conversion.label_scheme import LabelScheme
from nnssl_plugin.conversion.scan import Scan

LABEL = "label"

# Case → what is wrong with it, one line each.
Problems = dict[str, list[str]]


@dataclass(frozen=True)
class Case:
    """One examination.

    `images`: modality → scan in channel order, without those the case lacks. `about`: what else is known of it, like
    its tumour grade, for `cases.csv`.
    """

    name: str
    patient: str
    images: Mapping[str, Scan]
    label: Scan | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    @property
    def scans(self) -> dict[str, Scan]:
        """Images and, under `LABEL`, the segmentation."""
        return {**self.images, **({LABEL: self.label} if self.label else {})}


@dataclass(frozen=True)
class Findings:
    """What a converter recognised in a folder.

    Attributes:
        cases: what can be converted as far as file names tell.
        problems: of cases that are left out already.
        modalities: in channel order.
        labels: meaning of the segmentations; None to take the values that are found as classes.
        name: of the data set, unless the user gives another.
        converted_by: the command, for `dataset.json`.
        statements: what was decided for the whole folder, for the summary and `conversion.json`.
    """

    cases: Sequence[Case]
    problems: Problems
    modalities: Sequence[str]
    labels: LabelScheme | None
    name: str
    converted_by: str
    statements: Sequence[str] = ()


def collect_cases(
    scans: Iterable[tuple[str, str, Scan]], modalities: Sequence[str], patient_of: Callable[[str], str]
) -> tuple[list[Case], Problems]:
    """Group scans into cases, sorted by name.

    Args:
        scans: case name, modality or `LABEL`, scan.
        modalities: in channel order.
        patient_of: patient of a case name.

    Returns:
        The cases, and the problems of those that are left out because two files claim one place.
    """
    found: dict[str, dict[str, list[Scan]]] = defaultdict(lambda: defaultdict(list))
    for name, role, scan in scans:
        found[name][role].append(scan)
    cases: list[Case] = []
    problems: Problems = {}
    for name, roles in sorted(found.items()):
        doubled = {role: claims for role, claims in roles.items() if len(claims) > 1}
        if doubled:
            problems[name] = _doubled(roles, doubled)
            continue
        if shared := _shared({role: scan for role, (scan,) in roles.items()}):
            problems[name] = shared
            continue
        images = {modality: roles[modality][0] for modality in modalities if modality in roles}
        cases.append(Case(name, patient_of(name), images, roles[LABEL][0] if LABEL in roles else None))
    return cases, problems


def _shared(scans: Mapping[str, Scan]) -> list[str]:
    claims: dict[Path, str] = {}
    problems = []
    for role, scan in scans.items():
        # The channels of a 4-D file have one path.
        place = scan.files[0].resolve() / str(getattr(scan, "index", "")) if scan.files else None
        if place and (other := claims.setdefault(place, role)) != role:
            problems.append(f"{scan} is given for {other} and for {role}; one of them is another file")
    return problems


def _doubled(roles: Mapping[str, Sequence[Scan]], doubled: Mapping[str, Sequence[Scan]]) -> list[str]:
    folders = sorted({str(scan.files[0].parent) for claims in doubled.values() for scan in claims})
    if doubled.keys() == roles.keys() and len(folders) > 1:
        return [duplicate_id(folders)]
    return [
        f"{len(claims)} files for one {role}: {', '.join(map(str, claims))}; keep one of them"
        for role, claims in doubled.items()
    ]


def duplicate_id(places: Sequence[str]) -> str:
    """What is wrong with a case whose name is found in several places."""
    more = f" and {len(places) - 2} more" if len(places) > 2 else ""
    return (
        f"duplicate case id: it is in {' and in '.join(places[:2])}{more}; keep or rename one of them, or name every case in "
        "a table (convert folder --csv)"
    )
