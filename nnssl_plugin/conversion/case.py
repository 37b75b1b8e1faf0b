import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nnssl_plugin.conversion.label_scheme import LABEL, LabelScheme
from nnssl_plugin.conversion.scan import Scan
from nnssl_plugin.errors import InputError

# Case → what is wrong with it, one line each.
Problems = dict[str, list[str]]


@dataclass(frozen=True)
class Case:
    """One examination.

    Attributes:
        name: as nnU-Net will know it.
        patient: whose it is.
        images: modality → scan in channel order, without those the case lacks.
        label: its segmentation.
        patient_known: whether somebody said whose it is; if not, it counts as a separate patient.
        about: what else is known of it, like its tumour grade: column → text.
        files: that are no images, like its report: name → file.
    """

    name: str
    patient: str
    images: Mapping[str, Scan]
    label: Scan | None = None
    patient_known: bool = False
    about: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

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
        label_scheme: meaning of the segmentations; None to take the values that are found as classes.
        name: of the data set, unless the user gives another.
        converted_by: the command, for `dataset.json`.
        statements: what was decided for the whole folder, for the summary and `conversion.json`.
        advice_on_grids: what the user of this converter can do about scans on several grids.
        advice_on_unlabelled: what they can do about cases without a segmentation beside others.
    """

    cases: Sequence[Case]
    problems: Problems
    modalities: Sequence[str]
    label_scheme: LabelScheme | None
    name: str
    converted_by: str
    statements: Sequence[str] = ()
    advice_on_grids: str = "Register or resample it first (in one physical space: convert folder --resample-to)"
    advice_on_unlabelled: str = "give its id with --unlabelled-id"


def collect_cases(
    scans: Iterable[tuple[str, str, Scan]], modalities: Sequence[str], patient_of: Callable[[str], str | None]
) -> tuple[list[Case], Problems]:
    """Group scans into cases, sorted by name.

    Args:
        scans: case name, modality or `LABEL`, scan.
        modalities: in channel order.
        patient_of: patient of a case name; None where nobody said whose it is.

    Returns:
        The cases, and the problems of those that are left out because two files claim one place, or because they have no
        patient.
    """
    found: dict[str, dict[str, list[Scan]]] = defaultdict(lambda: defaultdict(list))
    for name, role, scan in scans:
        found[name][role].append(scan)
    cases: list[Case] = []
    problems: Problems = {}
    for name, roles in sorted(found.items()):
        try:
            patient = patient_of(name)
            wrong = _repeated(roles) or _one_file_twice({role: scan for role, (scan, *_) in roles.items()})
        except (InputError, OSError) as error:
            wrong = [str(error)]
        if wrong:
            problems[name] = wrong
            continue
        images = {modality: roles[modality][0] for modality in modalities if modality in roles}
        label = roles[LABEL][0] if LABEL in roles else None
        cases.append(Case(name, patient or name, images, label, patient is not None))
    return cases, problems


def _one_file_twice(scans: Mapping[str, Scan]) -> list[str]:
    roles: dict[tuple[str, int | None], str] = {}
    problems = []
    for role, scan in scans.items():
        # The channels of a 4-D file have one path.
        place = (os.path.realpath(scan.files[0]), getattr(scan, "index", None)) if scan.files else None
        if place and (other := roles.setdefault(place, role)) != role:
            problems.append(f"{scan} is given for {other} and for {role}; one of them is another file")
    return problems


def _repeated(roles: Mapping[str, Sequence[Scan]]) -> list[str]:
    repeated = {role: several for role, several in roles.items() if len(several) > 1}
    folders = sorted({str(scan.files[0].parent) for several in repeated.values() for scan in several if scan.files})
    if repeated and repeated.keys() == roles.keys() and len(folders) > 1:
        return [duplicate_id(folders)]
    return [
        f"{len(several)} files for one {role}: {', '.join(map(str, several))}; keep one of them"
        for role, several in repeated.items()
    ]


def duplicate_id(places: Sequence[str]) -> str:
    """What is wrong with a case whose name is found in several places."""
    more = f" and {len(places) - 2} more" if len(places) > 2 else ""
    return f"duplicate case id: it is in {' and in '.join(places[:2])}{more}; keep or rename one of them"
