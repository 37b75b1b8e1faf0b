"""Case names and paths that nnU-Net, SimpleITK or a file system cannot take."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from nnssl_plugin.conversion.case import Case, Problems
from nnssl_plugin.images.file_names import is_utf8, printable

# nnU-Net makes files like CASE_0000.nii.gz of it, and file systems take 255 bytes; a file being written has a longer name.
LONGEST = 200


def problems_of_names(cases: Sequence[Case]) -> Problems:
    """What is wrong with the names and paths of cases."""
    problems = {case.name: found for case in cases if (found := _name_problems(case.name) or _path_problems(case))}
    alike: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        alike[unicodedata.normalize("NFC", case.name).casefold()].add(case.name)
    for names in (sorted(group) for group in alike.values() if len(group) > 1):
        for name in names:
            others = ", ".join(printable(other) for other in names if other != name)
            problems.setdefault(name, []).append(
                f"its name differs from {others} in upper and lower case or accents only; that is one file on many disks: "
                "rename one of them"
            )
    return problems


def control_characters(text: str) -> list[str]:
    """Those in a text, as Python writes them: NUL, line breaks and the like."""
    return [ascii(character) for character in text if unicodedata.category(character) == "Cc"]


def _name_problems(name: str) -> list[str]:
    found = []
    if not is_utf8(name):
        found.append("its name is not UTF-8")
    if control := control_characters(name):
        found.append(f"its name holds {', '.join(control)}")
    if "/" in name or "\\" in name:
        found.append("its name holds a / or \\")
    if name.startswith("."):
        found.append("its name begins with a dot, as those of hidden files do")
    if name.lower().endswith("_seg"):
        found.append("its name ends in _seg, which nnU-Net takes for a segmentation: it would ignore the case")
    if (length := len(name.encode("utf-8", "surrogateescape"))) > LONGEST:
        found.append(f"its name has {length} bytes, more than the {LONGEST} that leave room for endings")
    return [f"{problem}; rename it" for problem in found]


def _path_problems(case: Case) -> list[str]:
    return [
        f"{role}: the path {printable(file)} is not UTF-8; rename it"
        for role, scan in case.scans.items()
        for file in [file for file in scan.files if not is_utf8(str(file))][:1]
    ]
