from collections import Counter
from collections.abc import Mapping, Sequence

from nnssl_plugin.conversion.case import Case, Problems
from nnssl_plugin.conversion.checked import CheckedCase


def of_another_machine(cases: Sequence[Case], checked: Mapping[str, CheckedCase]) -> Problems:
    """Cases of which a scan is CT where most cases have MR, or the like; only DICOM says so."""
    machines = {(case.name, role): checked[case.name].scans[role].machine for case in cases for role in case.images}
    problems: Problems = {}
    for modality in dict.fromkeys(role for _, role in machines):
        counts = Counter(machine for (_, role), machine in machines.items() if role == modality and machine)
        usual = max(counts, key=lambda machine: counts[machine], default="")
        for (case, role), machine in machines.items():
            if role == modality and machine and machine != usual:
                problems.setdefault(case, []).append(
                    f"{modality}: its slices are {machine}, those of {counts[usual]} other cases {usual}: convert it apart"
                )
    return problems
