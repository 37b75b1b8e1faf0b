"""Case names that look like several examinations of one patient."""

import re
from collections import defaultdict
from collections.abc import Sequence

from nnssl_plugin.conversion.case import Case

# BIDS (sub-01_ses-2), or a word for an examination with its number or name behind the patient.
SUBJECT = re.compile(r"(?P<subject>sub-[A-Za-z0-9]+)[_-].+")
EXAMINATION = re.compile(
    r"(?P<subject>.+?)[_-](?:ses|session|visit|timepoint|tp|scan|exam|followup|fu|day|week|month)[_-]?[A-Za-z0-9]+",
    re.IGNORECASE,
)


def hint_of_sessions(cases: Sequence[Case]) -> list[str]:
    """What to do where cases look like examinations of one patient and nobody said so; empty where none do."""
    subjects = defaultdict(list)
    for case in cases:
        match = SUBJECT.fullmatch(case.name) or EXAMINATION.fullmatch(case.name)
        if match and not case.patient_known:
            subjects[match["subject"]].append(case.name)
    several = [names for names in subjects.values() if len(names) > 1]
    if not several:
        return []
    example = r"--patient '(sub-[^_-]+)'" if several[0][0].startswith("sub-") else r"--patient '^([^_-]+)'"
    return [
        f"HINT: {' and '.join(sorted(several[0])[:2])} look like examinations of one patient, but count as two, which may be "
        f"trained and validated on: say which part of the name is the patient, like {example} (in a table: the column patient)"
    ]
