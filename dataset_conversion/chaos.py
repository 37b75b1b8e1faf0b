"""CHAOS abdominal MR: DICOM slices, PNG segmentations, `MR/NUMBER/{T1DUAL,T2SPIR}/{DICOM_anon,Ground}`.

`python dataset_conversion/chaos.py …` is `nnssl_plugin convert chaos …`.
"""

import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from nnssl_plugin.conversion.case import Case, Findings, Problems
from nnssl_plugin.conversion.chaos_headers import IN_PHASE, OUT_OF_PHASE, T2, contradictions, shifts_by_rounding
from nnssl_plugin.conversion.convert import convert_cases
from nnssl_plugin.conversion.dataset import check_name_is_free
from nnssl_plugin.conversion.dicom import DicomFolder, PngFolder
from nnssl_plugin.conversion.folder_listing import files_below
from nnssl_plugin.conversion.label_scheme import LabelScheme
from nnssl_plugin.conversion.options import ConversionOptions
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.parallel import in_parallel

LABELS = LabelScheme(
    {"background": 0, "liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}, convention="CHAOS"
)
# As in the challenge's evaluation code: values around 63, 126, 189 and 252.
GREY_VALUES = {
    **dict.fromkeys(range(55, 71), 1),
    **dict.fromkeys(range(110, 136), 2),
    **dict.fromkeys(range(175, 201), 3),
    **dict.fromkeys(range(240, 256), 4),
}
COMMAND = "nnssl_plugin convert chaos"
T2_NAME = "CHAOST2"
ADVICE_ON_GRIDS = (
    "Correct the positions in its headers, or write the images and masks of the case as .nii.gz on one grid, which convert "
    "folder reads"
)
ADVICE_ON_UNLABELLED = (
    "move those without a folder Ground elsewhere and convert them by themselves, with another --t2-id"
)


def convert(folder: Path, options: ConversionOptions, t2_id: int | None = None, t2_on_t1: bool = False) -> int:
    """Convert CHAOS MR.

    T1-DUAL in and out of phase are two registered channels with one segmentation. T2-SPIR is another scan of the
    patient: a data set of its own with its own segmentations, or a third channel on the grid of T1-DUAL.

    Args:
        folder: searched with everything below it.
        options: where T1-DUAL goes and how.
        t2_id: data set of T2-SPIR, where it is to be one of its own.
        t2_on_t1: resample T2-SPIR onto T1-DUAL through the geometry in the headers.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: nothing is recognised, or as `convert_cases`.
    """
    folders = {parent for path in files_below(folder) for parent in path.parents if parent.is_relative_to(folder)}
    t1, t2 = (sorted(path for path in folders if path.name.upper() == name) for name in ("T1DUAL", "T2SPIR"))
    if not t1 and not t2:
        raise InputError(
            f"no folder below {folder} is like MR/NUMBER/T1DUAL/DICOM_anon/InPhase or MR/NUMBER/T2SPIR/DICOM_anon (CHAOS)"
        )
    if t2_id is not None and t2_id in (options.dataset_id, options.unlabelled_id):
        raise InputError(f"--t2-id {t2_id} is another data set's already: choose another one")
    if not t1 and t2_id is None:
        raise InputError(f"{folder} holds T2SPIR of {len(t2)} cases and no T1DUAL: give it a data set, --t2-id")
    t2_options = replace(options, name=f"{options.name}T2" if options.name else None, unlabelled_id=None)
    if t2_id is not None:
        t2_options = replace(t2_options, dataset_id=t2_id)
        # Whether the data set exists already is asked when it is made: it may be from the same files.
        check_name_is_free(t2_id, t2_options.name or T2_NAME, overwrite=True)
    t2_by_case = {_case_name(path): path for path in t2}
    statements = [
        "slices by the positions in their headers; grey values 55-70 liver, 110-135 right kidney, 175-200 left kidney, "
        "240-255 spleen"
    ]
    if t2_on_t1:
        modalities: tuple[str, ...] = (IN_PHASE, OUT_OF_PHASE, T2)
        options = replace(options, resample_to=IN_PHASE)
        statements.append(
            f"T2-SPIR resampled onto T1-DUAL where it covers {100 * options.smallest_overlap:g}% of it or more"
        )
    else:
        modalities = (IN_PHASE, OUT_OF_PHASE)
        if t2 and t2_id is None:
            statements.append(
                f"T2-SPIR of {len(t2)} cases not converted: --t2-on-t1, or --t2-id for a data set of its own"
            )
    cases, problems = _distinct([_t1_case(path, t2_by_case.get(_case_name(path)) if t2_on_t1 else None) for path in t1])
    if t2_on_t1 and (alone := sorted(t2_by_case.keys() - {_case_name(path) for path in t1})):
        problems |= {name: [f"{t2_by_case[name]} has no T1DUAL beside it to be resampled onto"] for name in alone}
    against = in_parallel(contradictions, cases, "reading headers")
    problems.update({case.name: found for case, found in zip(cases, against, strict=True) if found})
    cases = [case for case in cases if case.name not in problems]
    statements += shifts_by_rounding(cases) + _computed_tomography(folders)
    code = 0
    if t1:
        found = Findings(cases, problems, modalities, LABELS, "CHAOS", COMMAND, statements, ADVICE_ON_GRIDS)
        code = convert_cases(found, options)
    if t2 and t2_id is not None:
        t2_cases, t2_problems = _distinct([_t2_case(path) for path in t2])
        found = Findings(
            t2_cases,
            t2_problems,
            (T2,),
            LABELS,
            T2_NAME,
            COMMAND,
            statements[:1],
            ADVICE_ON_GRIDS,
            ADVICE_ON_UNLABELLED,
        )
        code = max(code, convert_cases(found, t2_options))
    return code


def _case_name(sequence: Path) -> str:
    return f"CHAOS_MR_{sequence.parent.name}"


def _t1_case(t1: Path, t2: Path | None) -> Case:
    images = {IN_PHASE: DicomFolder(t1 / "DICOM_anon" / "InPhase")}
    out_of_phase = t1 / "DICOM_anon" / "OutPhase"
    if out_of_phase.is_dir():
        images[OUT_OF_PHASE] = DicomFolder(out_of_phase, acquired_with=images[IN_PHASE])
    if t2 is not None:
        images[T2] = DicomFolder(t2 / "DICOM_anon")
    return Case(_case_name(t1), _case_name(t1), images, _ground(t1, images[IN_PHASE]), patient_known=True)


def _t2_case(t2: Path) -> Case:
    series = DicomFolder(t2 / "DICOM_anon")
    return Case(_case_name(t2), _case_name(t2), {T2: series}, _ground(t2, series), patient_known=True)


def _ground(sequence: Path, series: DicomFolder) -> PngFolder | None:
    ground = sequence / "Ground"
    return PngFolder(ground, series, GREY_VALUES) if ground.is_dir() else None


def _distinct(cases: Sequence[Case]) -> tuple[list[Case], Problems]:
    """Cases whose number occurs once; the others are problems."""
    folders: dict[str, list[str]] = {}
    for case in cases:
        folders.setdefault(case.name, []).append(str(next(iter(case.images.values()))))
    problems = {
        name: [f"duplicate case id: it is in {' and in '.join(paths)}; keep or rename one of them"]
        for name, paths in folders.items()
        if len(paths) > 1
    }
    return [case for case in cases if case.name not in problems], problems


def _computed_tomography(folders: Collection[Path]) -> list[str]:
    found = sorted(path for path in folders if path.parent.name.upper() == "CT" and (path / "DICOM_anon") in folders)
    if not found:
        return []
    return [
        f"CT of {len(found)} cases not converted, like {found[0]}: this converter is for MR. convert folder reads the series "
        "(--modality 'CT=*/DICOM_anon/'), but not their PNG masks"
    ]


if __name__ == "__main__":
    from nnssl_plugin.cli import main

    sys.exit(main(["convert", "chaos", *sys.argv[1:]]))
