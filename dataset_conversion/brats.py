"""BraTS 2023: `CASE-t1n.nii.gz -t1c -t2w -t2f [-seg]`, one folder per case or all in one.

`python dataset_conversion/brats.py …` is `nnssl_plugin convert brats …`.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from nnssl_plugin.conversion.case import LABEL, collect_cases
from nnssl_plugin.conversion.convert import Target, convert_cases
from nnssl_plugin.conversion.files import files_below
from nnssl_plugin.conversion.label_scheme import BRATS2023
from nnssl_plugin.errors import InputError

SUFFIXES = {"t1n": "T1", "t1c": "T1c", "t2w": "T2", "t2f": "FLAIR", "seg": LABEL}
MODALITIES = [name for name in SUFFIXES.values() if name != LABEL]
FILE_NAME = re.compile(rf"(?P<case>.+)-(?P<suffix>{'|'.join(SUFFIXES)})\.nii(\.gz)?")
# The last number of BraTS-GLI-00002-001 counts the examinations of the patient.
EXAMINATION = re.compile(r"(?P<patient>.+-\d+)-\d{3}")


def convert(folder: Path, target: Target) -> int:
    """Convert BraTS 2023 cases; regions WT, TC, ET over the label values as published.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: `folder` holds no such file, or as `convert_cases`.
    """
    cases, problems = collect_cases(_brats_files(folder), MODALITIES, patient_of)
    if not cases and not problems:
        raise InputError(
            f"no file below {folder} is named like CASE-t1n.nii.gz, -t1c, -t2w, -t2f (BraTS 2023); for other names see "
            "nnssl_plugin convert folder --help"
        )
    return convert_cases(cases, problems, MODALITIES, BRATS2023, target, "BraTS2023", "nnssl_plugin convert brats")


def patient_of(case: str) -> str:
    """`BraTS-GLI-00002` for `BraTS-GLI-00002-001`; a case of any other name is its own patient."""
    match = EXAMINATION.fullmatch(case)
    return match["patient"] if match else case


def _brats_files(folder: Path) -> Iterator[tuple[str, str, Path]]:
    for path in files_below(folder):
        if match := FILE_NAME.fullmatch(path.name):
            yield match["case"], SUFFIXES[match["suffix"]], path


if __name__ == "__main__":
    from nnssl_plugin.cli import main

    sys.exit(main(["convert", "brats", *sys.argv[1:]]))
