"""BraTS of every era, from 2012 on, and the Medical Segmentation Decathlon's copy of it.

`python dataset_conversion/brats.py …` is `nnssl_plugin convert brats …`.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nnssl_plugin.conversion.brats_eras import ERAS, MODALITIES, NAMINGS, Era, Naming
from nnssl_plugin.conversion.case import Findings, collect_cases
from nnssl_plugin.conversion.convert import convert_cases
from nnssl_plugin.conversion.folder_listing import files_below
from nnssl_plugin.conversion.grades import grades_of_folders, with_grades
from nnssl_plugin.conversion.label_scheme import LABEL
from nnssl_plugin.conversion.options import ConversionOptions
from nnssl_plugin.conversion.published_values import COMMAND
from nnssl_plugin.conversion.scan import Channel, ImageFile, Scan
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.images.image_file import ending_of

# BraTS 2020 was released with one segmentation under another name.
MISNAMED = {"W39_1998.09.19_Segm.nii": "BraTS20_Training_355_seg.nii"}


OTHER_NAMES = (
    "Files of any names: nnssl_plugin convert folder --modality 'T1=*_t1.nii.gz' … --label '*_seg.nii.gz' --regions brats2021, or "
    "whichever values they have."
)


@dataclass(frozen=True)
class Match:
    """One file whose name is of BraTS: its naming, case and role (a modality, the label, or those of a 4-D file)."""

    naming: Naming
    case: str
    role: str | tuple[str, ...]
    path: Path


def convert(
    folder: Path, options: ConversionOptions, era: str | None = None, kind: Literal["regions", "classes"] = "regions"
) -> int:
    """Convert BraTS cases.

    Args:
        folder: searched with everything below it.
        options: where to and how.
        era: key of `ERAS`; None to recognise it by names.
        kind: of labels: regions WT, TC, ET over the values as published; or classes, recoded where the values have a gap.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: no file is recognised, or the names fit no era or several, or as `convert_cases`.
    """
    files = files_below(folder)
    matches = list(_matches(folder, files))
    key = era or _recognised(folder, matches)
    chosen = ERAS[key]
    matches = [match for match in matches if match.naming in chosen.namings]
    if not matches:
        raise InputError(f"no file below {folder} is named as in {chosen.title}")
    if key == "msd":
        _check_decathlon(files)
    statements = [*_other_images(files, matches)]
    matches, renamed = _with_grade_where_names_repeat(matches, folder)
    cases, problems = collect_cases(_scans(matches), MODALITIES, lambda case: _patient_of(case, chosen))
    cases, grades = with_grades(cases, folder, files)
    how = "as told by --era" if era else "recognised by the names"
    values = ", ".join(f"{value} {name}" for name, value in chosen.classes.items())
    advice = {"advice_on_grids": "Register or resample it first"} if key == "msd" else {}
    found = Findings(
        cases,
        problems,
        MODALITIES,
        chosen.scheme if kind == "regions" else chosen.plain_scheme,
        "MSDBrainTumour" if key == "msd" else f"BraTS{key}",
        COMMAND,
        [f"era {key}, {how}: {chosen.title}; published values: {values}", *renamed, *grades, *statements],
        **advice,
    )
    return convert_cases(found, options)


def _patient_of(case: str, era: Era) -> str | None:
    """None for names that are not the challenge's, which say nothing of the patient."""
    if match := era.patient.fullmatch(case):
        return match["patient"]
    return case if "brats" in case.lower() else None


def _matches(folder: Path, files: Sequence[Path]) -> Iterator[Match]:
    name = folder.resolve().name
    for path in files:
        inside = path.relative_to(folder).with_name(MISNAMED.get(path.name, path.name))
        for naming in NAMINGS:
            # With the folder's own name: it may be that of the only case.
            if match := naming.path.fullmatch(f"{name}/{inside.as_posix()}"):
                yield Match(naming, match["case"], naming.roles[match["suffix"]], path)


def _with_grade_where_names_repeat(matches: Sequence[Match], folder: Path) -> tuple[list[Match], list[str]]:
    """BRATS 2013 and 2015 number high-grade and low-grade cases alike: such names get the grade in front."""
    grades: dict[str, set[str]] = {}
    for match in matches:
        grades.setdefault(match.case, set()).update(grades_of_folders(match.path, folder))
    repeated = {case for case, found in grades.items() if len(found) > 1}
    named = []
    for match in matches:
        own = grades_of_folders(match.path, folder)
        named.append(replace(match, case=f"{min(own)}_{match.case}") if match.case in repeated and own else match)
    statement = f"{len(repeated)} case ids are in HGG and in LGG: HGG_ and LGG_ put in front of them"
    return named, [statement] if repeated else []


def _other_images(files: Sequence[Path], matches: Sequence[Match]) -> list[str]:
    known = {match.path for match in matches}
    others = [path for path in files if path not in known and ending_of(path.name.lower())]
    if not others:
        return []
    return [f"not converted: {len(others)} images of other names, like {others[0]}; convert folder reads any names"]


def _scans(matches: Sequence[Match]) -> Iterator[tuple[str, str, Scan]]:
    for match in matches:
        if isinstance(match.role, str):
            yield match.case, match.role, ImageFile(match.path)
        else:
            for index, modality in enumerate(match.role):
                yield match.case, modality, Channel(match.path, index, len(match.role))


def _recognised(folder: Path, matches: Sequence[Match]) -> str:
    """The one era that all files fit."""
    if not matches:
        raise InputError(
            f"no file below {folder} is named as in BraTS (like CASE-t1n.nii.gz, CASE_t1ce.nii.gz, VSD.Brain.XX.O.MR_T1c.1.mha "
            f"or imagesTr/BRATS_001.nii.gz). {OTHER_NAMES}"
        )
    fits = [
        frozenset(key for key, era in ERAS.items() if match.naming in era.namings and era.cases.fullmatch(match.case))
        for match in matches
    ]
    common = frozenset.intersection(*fits)
    meant = {fit for match, fit in zip(matches, fits, strict=True) if match.role == LABEL}
    # Names that fit two eras do not join the era of other files.
    if common and all(len(fit) == 1 for fit in meant):
        return min(common)
    if common and len(set(fits)) == 1:
        meanings = "; ".join(f"--era {key}: {_meaning(ERAS[key])}" for key in sorted(common))
        raise InputError(f"the names below {folder} do not tell what the label values mean. Say which: {meanings}")
    if not any(fits):
        raise InputError(
            f"the files below {folder} are named like those of BraTS, but their cases like those of no era (like "
            f"{matches[0].path}). {OTHER_NAMES} Or say whose label values they have: --era {{{','.join(ERAS)}}}"
        )
    groups = Counter(" or ".join(sorted(fit)) or "no known era" for fit in fits)
    counted = ", ".join(f"{count} files of {group}" for group, count in groups.most_common())
    unknown = next((match.path for match, fit in zip(matches, fits, strict=True) if not fit), None)
    example = f" (like {unknown}; {OTHER_NAMES})" if unknown else ""
    raise InputError(
        f"{folder} holds {counted}{example}: move each kind to a folder of its own and convert those one by one; where names "
        f"do not tell what the label values mean, --era {{{','.join(ERAS)}}} does"
    )


def _meaning(era: Era) -> str:
    return f"{era.title}: {', '.join(f'{value} {name}' for name, value in era.classes.items())}"


def _check_decathlon(files: Sequence[Path]) -> None:
    """Compare the order of channels and the labels with what the data set says of itself, where it does."""
    for path in files:
        if path.name == "dataset.json" and (path.parent / "imagesTr").is_dir():
            try:
                description = read_json(path)
                channels = [str(description["modality"][str(i)]).lower() for i in range(4)]
                labels = {int(value): str(name).lower() for value, name in description["labels"].items()}
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise InputError(f"{path} cannot be read: {error!r}") from None
            if channels != ["flair", "t1w", "t1gd", "t2w"]:
                raise InputError(f"{path}: the channels are {channels}, not those of Task01 (FLAIR, T1w, t1gd, T2w)")
            wanted = {1: "edema", 2: "non-enhancing tumor", 3: "enhancing tumor"}
            given = {value: name.replace("tumour", "tumor") for value, name in labels.items() if value}
            if given != wanted:
                raise InputError(f"{path}: the labels are {given}, not those of Task01 {wanted}")


if __name__ == "__main__":
    from nnssl_plugin.cli import main

    sys.exit(main(["convert", "brats", *sys.argv[1:]]))
