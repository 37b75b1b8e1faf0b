"""One scan under several names, found by the values of its voxels."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nnssl_plugin.conversion.case import Case, Problems
from nnssl_plugin.conversion.checked import CheckedCase
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import KEY, content_of
from nnssl_plugin.nnunet.same_patient import first_names

SHOWN = 5


def one_scan_as_two_modalities(cases: Sequence[Case], checked: Mapping[str, CheckedCase]) -> Problems:
    """Cases in which two modalities have the same voxels."""
    problems: Problems = {}
    for case in cases:
        roles = defaultdict(list)
        for role, content in _contents(case, checked):
            roles[content].append(role)
        if same := [" and ".join(of) for of in roles.values() if len(of) > 1]:
            problems[case.name] = [f"{of} have the same voxels: one of the files is a copy of another" for of in same]
    return problems


def with_patients_joined(cases: Sequence[Case], checked: Mapping[str, CheckedCase]) -> list[Case]:
    """Make the patients of cases that share a scan one patient: known ones give it its name."""
    contents: dict[str, set[str]] = defaultdict(set)
    known = {case.patient for case in cases if case.patient_known}
    for case in sorted(cases, key=lambda case: (case.patient not in known, case.patient)):
        contents[case.patient].update(content for _, content in _contents(case, checked))
    first = first_names(contents)
    return [replace(case, patient=first[case.patient], patient_known=first[case.patient] in known) for case in cases]


def shared_scans(cases: Sequence[Case], checked: Mapping[str, CheckedCase]) -> list[str]:
    """Each group of cases that share scans, in words: `a and z (T1, FLAIR)`."""
    places: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for case in cases:
        for role, content in _contents(case, checked):
            places[content].append((case.name, role))
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for found in places.values():
        names, roles = zip(*found, strict=True)
        if len(names) > 1:
            same = roles[0] if len(set(roles)) == 1 else " = ".join(f"{role} of {name}" for name, role in found)
            groups[names].append(same)
    return [f"{_some(names)} ({', '.join(same)})" for names, same in sorted(groups.items())]


def seen_in_other_datasets(
    cases: Sequence[Case], checked: Mapping[str, CheckedCase], raw: Path, written: Collection[str]
) -> list[str]:
    """Each other data set in nnUNet_raw that has scans of these cases, in words.

    Args:
        cases: of this conversion.
        checked: case → what was seen of it.
        raw: the folder of raw data sets.
        written: folder names of the data sets of this conversion.
    """
    ours = {content: case.name for case in cases for _, content in _contents(case, checked)}
    lines = []
    for path in sorted(raw.glob("Dataset*/dataset.json")):
        if path.parent.name in written:
            continue
        try:
            description = read_json(path)
            theirs = description.get(KEY, {}).get("cases", {})
        except (InputError, AttributeError):
            continue
        pairs = {
            ours[content]: other
            for other in theirs
            for content in content_of(description, other).values()
            if content in ours
        }
        if pairs:
            shown = ", ".join(f"{case} is {other} there" for case, other in sorted(pairs.items())[:SHOWN])
            more = ", …" if len(pairs) > SHOWN else ""
            lines.append(f"{len(pairs)} cases have scans of {path.parent.name} ({shown}{more})")
    return lines


def _some(names: Sequence[str]) -> str:
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return " and ".join([*names[:SHOWN], *more])


def _contents(case: Case, checked: Mapping[str, CheckedCase]) -> Iterator[tuple[str, str]]:
    for role in case.images:
        if content := checked[case.name].scans[role].content:
            yield role, content
