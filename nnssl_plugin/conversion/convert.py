"""What every converter does with the cases it has found: check, write, report."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from nnssl_plugin import __version__
from nnssl_plugin.conversion.case import Case, Findings
from nnssl_plugin.conversion.check import Grids, check_case
from nnssl_plugin.conversion.checked import CheckedCase
from nnssl_plugin.conversion.class_table import with_table
from nnssl_plugin.conversion.dataset import Dataset, check_name_is_free
from nnssl_plugin.conversion.dataset_folder import move_into_place, write_dataset
from nnssl_plugin.conversion.divide import divide, ids_and_names
from nnssl_plugin.conversion.identity import one_scan_as_two_modalities, with_patients_joined
from nnssl_plugin.conversion.label_problems import scheme_of
from nnssl_plugin.conversion.machines import of_another_machine
from nnssl_plugin.conversion.options import ConversionOptions
from nnssl_plugin.conversion.readable import without_unreadable
from nnssl_plugin.conversion.record import Conversion, finished_conversion, write_record
from nnssl_plugin.conversion.summary import problem_lines, summary_lines
from nnssl_plugin.conversion.warning_lines import warning_lines
from nnssl_plugin.conversion.work_folder import WorkFolder, json_hash, source_state
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.file_names import printable
from nnssl_plugin.images.parallel import in_parallel
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.runs.folder import locked_file

# Part of what an earlier run is recognised by: count it up when what is recorded of a case changes.
RECORD = 2


def convert_cases(found: Findings, options: ConversionOptions) -> int:
    """Check the cases, write them as nnU-Net data sets and print a summary.

    Labelled and unlabelled cases never share a data set. A labelled case that lacks a modality goes, without its label,
    to the unlabelled data set if one is asked for, and is left out otherwise. An image of one value counts as missing.
    What an interrupted run of the same settings has done is not done again; nor is a finished one.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: nothing can be written, or a case would be left out and `options` are strict.
        OSError: a file cannot be written; what is done so far is kept for the next run.
    """
    found = without_unreadable(found)
    if options.table:
        found = with_table(found, options.table)
    names = ids_and_names(found, options)
    if options.resample_to is not None and options.resample_to not in found.modalities:
        raise InputError(f"--resample-to {options.resample_to}: the modalities are {', '.join(found.modalities)}")
    how = {key: value for key, value in asdict(options).items() if key not in ("overwrite", "strict", "table")}
    if options.table:
        how["table"] = {
            "file": str(options.table.file),
            "columns": list(options.table.columns),
            "group": options.table.group,
        }
    scheme = asdict(found.label_scheme) if found.label_scheme else None
    settings = {
        "version": [__version__, RECORD],
        "options": how,
        "modalities": list(found.modalities),
        "label scheme": str(scheme),
    }
    sources = {
        case.name: [case.patient, case.patient_known, dict(case.about), source_state(case)] for case in found.cases
    }
    meaning = dict(found.label_scheme.labels) if found.label_scheme else None
    conversion = Conversion(found, {**how, "labels": meaning}, json_hash([settings, sources, found.problems]))
    if not options.overwrite and (code := finished_conversion(names, conversion)) is not None:
        return code
    for name in names:
        check_name_is_free(*name, options.overwrite)
    raw = folder_of("nnUNet_raw")
    _refuse_to_replace_sources(found.cases, [raw / f"Dataset{number:03d}_{name}" for number, name in names])
    try:
        raw.mkdir(parents=True, exist_ok=True)
        (place := raw / f".conversion_{options.dataset_id:03d}.unfinished").mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"nnUNet_raw={raw}: nothing can be written there ({error})") from None
    lock = place.with_suffix(".lock")
    busy = f"another conversion to id {options.dataset_id} is running ({lock} is locked): wait until it has finished"
    with locked_file(lock, busy):
        work = WorkFolder(place, settings)
        if work.resumed:
            print(f"continuing the interrupted conversion in {work.path}")
        try:
            return _convert(found, options, names, conversion, work)
        except InputError:
            work.remove()
            raise
        finally:
            # Some systems do not remove a file that is open.
            with suppress(PermissionError):
                lock.unlink()


def _convert(
    found: Findings,
    options: ConversionOptions,
    names: Sequence[tuple[int, str]],
    conversion: Conversion,
    work: WorkFolder,
) -> int:
    grids = Grids(options.resample_to, options.smallest_overlap, found.advice_on_grids)

    def check(case: Case) -> CheckedCase:
        try:
            checked = work.checked(case)
        except OSError as error:
            return CheckedCase([f"its files cannot be found any more: {error}"], [], {})
        if checked is None:
            checked = check_case(case, grids)
            work.save_checked(case, checked)
        return checked

    results = in_parallel(check, found.cases, "checking cases")
    checked = {case.name: result for case, result in zip(found.cases, results, strict=True)}
    problems = {**found.problems, **{name: result.problems for name, result in checked.items() if result.problems}}
    usable = [_without_constant(case, checked[case.name]) for case in found.cases if case.name not in problems]
    problems |= one_scan_as_two_modalities(usable, checked) | of_another_machine(usable, checked)
    usable = with_patients_joined([case for case in usable if case.name not in problems], checked)
    scheme = scheme_of(usable, checked, found.label_scheme, problems)
    labelled, unlabelled = divide(usable, found.modalities, options, problems)
    if labelled and not any(set(checked[case.name].values) - {0} for case in labelled):
        raise InputError(
            "every segmentation is empty: nnU-Net cannot plan such a data set. Convert the images from a folder without them"
        )
    sets = ((names[0], labelled, scheme), (names[-1], unlabelled, None))
    datasets = [
        Dataset(*name, members, checked, found.modalities, label_scheme, options.resample_to)
        for name, members, label_scheme in sets
        if members
    ]
    if problems and (options.strict or not datasets):
        raise InputError(printable("\n".join(["nothing was written", *problem_lines(problems)])))
    warnings = warning_lines(datasets, work.path.parent)
    placed = {
        dataset.folder_name: write_dataset(dataset, work, options.copy, found.converted_by) for dataset in datasets
    }
    for dataset in datasets:
        write_record(work.path / dataset.folder_name, conversion, datasets, placed, problems, warnings)
    move_into_place(datasets, work)
    print(printable("\n".join(summary_lines(datasets, placed, found, problems, warnings))))
    return 1 if problems else 0


def _refuse_to_replace_sources(cases: Sequence[Case], folders: Sequence[Path]) -> None:
    inside = {folder.resolve() for folder in folders if folder.exists()}
    for case in cases:
        for file in (file for scan in case.scans.values() for file in scan.files):
            if inside.intersection(file.resolve().parents):
                raise InputError(f"{file} is part of a data set that would be replaced: choose another id and name")


def _without_constant(case: Case, checked: CheckedCase) -> Case:
    present = {role: scan for role, scan in case.images.items() if not checked.scans[role].constant}
    return replace(case, images=present)
