"""What every converter does with the cases it has found: check, write, report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from nnssl_plugin import __version__
from nnssl_plugin.conversion.case import Case, Findings, Problems
from nnssl_plugin.conversion.check import CheckedCase, check_case
from nnssl_plugin.conversion.dataset import Dataset, check_name_is_free
from nnssl_plugin.conversion.dataset_folder import move_into_place, write_dataset
from nnssl_plugin.conversion.label_scheme import LabelScheme, scheme_from_values
from nnssl_plugin.conversion.record import Conversion, finished_conversion, write_record
from nnssl_plugin.conversion.summary import problem_lines, summary_lines
from nnssl_plugin.conversion.work_folder import WorkFolder, digest, source_state
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.parallel import in_parallel
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.runs.folder import locked_file


@dataclass(frozen=True)
class Target:
    """Where a conversion goes and how.

    Attributes:
        dataset_id: of the data set.
        name: None for the converter's own.
        unlabelled_id: data set of the unlabelled cases of a folder that has labelled ones too.
        overwrite: replace data sets of the same ids and names.
        copy: copy files instead of listing them where they lie.
        strict: write nothing if any case would have to be left out.
        resample_to: modality on whose grid the others are resampled; None to leave out cases of several grids.
        smallest_overlap: share of that grid's voxels that a resampled scan must cover.
    """

    dataset_id: int
    name: str | None = None
    unlabelled_id: int | None = None
    overwrite: bool = False
    copy: bool = False
    strict: bool = False
    resample_to: str | None = None
    smallest_overlap: float = 0.0


def convert_cases(found: Findings, target: Target) -> int:
    """Check the cases, write them as nnU-Net data sets and print a summary.

    Labelled and unlabelled cases never share a data set. A labelled case that lacks a modality goes, without its label,
    to the unlabelled data set if one is asked for, and is left out otherwise. An image of one value counts as missing.
    What an interrupted run of the same settings has done is not done again; nor is a finished one.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: nothing can be written, or a case would be left out and `target` is strict.
    """
    found = _without_broken_links(found)
    names = _ids_and_names(found.cases, target, found.name)
    if target.resample_to is not None and target.resample_to not in found.modalities:
        raise InputError(f"--resample-to {target.resample_to}: the modalities are {', '.join(found.modalities)}")
    how = {key: value for key, value in asdict(target).items() if key not in ("overwrite", "strict")}
    labels = asdict(found.labels) if found.labels else None
    settings = {"version": __version__, "target": how, "modalities": list(found.modalities), "labels": str(labels)}
    sources = {case.name: [case.patient, dict(case.about), source_state(case)] for case in found.cases}
    meaning = dict(found.labels.labels) if found.labels else None
    conversion = Conversion(found, {**how, "labels": meaning}, digest([settings, sources, found.problems]))
    if not target.overwrite and (code := finished_conversion(names, conversion)) is not None:
        return code
    for name in names:
        check_name_is_free(*name, target.overwrite)
    raw = folder_of("nnUNet_raw")
    _refuse_to_replace_sources(found.cases, [raw / f"Dataset{number:03d}_{name}" for number, name in names])
    try:
        raw.mkdir(parents=True, exist_ok=True)
        (place := raw / f".conversion_{target.dataset_id:03d}.unfinished").mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"nnUNet_raw={raw}: nothing can be written there ({error})") from None
    lock = place.with_suffix(".lock")
    busy = f"another conversion to id {target.dataset_id} is running ({lock} is locked): wait until it has ended"
    with locked_file(lock, busy):
        work = WorkFolder(place, settings)
        if work.resumed:
            print(f"going on with the interrupted conversion in {work.path}")
        try:
            return _convert(found, target, names, conversion, work)
        except InputError:
            work.remove()
            raise
        finally:
            lock.unlink()


def _convert(
    found: Findings, target: Target, names: Sequence[tuple[int, str]], conversion: Conversion, work: WorkFolder
) -> int:
    def check(case: Case) -> CheckedCase:
        checked = work.checked(case)
        if checked is None:
            checked = check_case(case, target.resample_to, target.smallest_overlap)
            work.save_checked(case, checked)
        return checked

    results = in_parallel(check, found.cases, "checking cases")
    checked = {case.name: result for case, result in zip(found.cases, results, strict=True)}
    problems = {**found.problems, **{name: result.problems for name, result in checked.items() if result.problems}}
    usable = [_without_constant(case, checked[case.name]) for case in found.cases if case.name not in problems]
    labels = _labels(usable, checked, found, problems)
    labelled, unlabelled = _divide(usable, found.modalities, target, problems)
    if labelled and not any(set(checked[case.name].values) - {0} for case in labelled):
        raise InputError("every segmentation is empty: nnU-Net cannot plan such a data set; convert it without labels")
    sets = ((names[0], labelled, labels), (names[-1], unlabelled, None))
    datasets = [
        Dataset(*name, members, checked, found.modalities, scheme, target.resample_to)
        for name, members, scheme in sets
        if members
    ]
    if problems and (target.strict or not datasets):
        raise InputError("\n".join(["nothing was written", *problem_lines(problems)]))
    placed = {
        dataset.folder_name: write_dataset(dataset, work, target.copy, found.converted_by) for dataset in datasets
    }
    for dataset in datasets:
        write_record(work.path / dataset.folder_name, conversion, datasets, placed, problems)
    move_into_place(datasets, work)
    print("\n".join(summary_lines(datasets, placed, found, problems)))
    return 1 if problems else 0


def _without_broken_links(found: Findings) -> Findings:
    broken: Problems = {}
    for case in found.cases:
        files = ((role, file) for role, scan in case.scans.items() for file in scan.files if not file.exists())
        if lines := [f"{role}: {file} is a link to nothing; repair or remove it" for role, file in files]:
            broken[case.name] = lines
    cases = [case for case in found.cases if case.name not in broken]
    return replace(found, cases=cases, problems={**found.problems, **broken})


def _refuse_to_replace_sources(cases: Sequence[Case], folders: Sequence[Path]) -> None:
    inside = {folder.resolve() for folder in folders if folder.exists()}
    for case in cases:
        for file in (file for scan in case.scans.values() for file in scan.files):
            if inside.intersection(file.resolve().parents):
                raise InputError(
                    f"{file} is to be converted and lies in a data set that would be replaced: choose another id and name"
                )


def _ids_and_names(cases: Sequence[Case], target: Target, default_name: str) -> list[tuple[int, str]]:
    """Id and name of the labelled data set and of the unlabelled one; one entry where there is only one of them."""
    name = target.name or default_name
    labelled = [case for case in cases if case.label]
    unlabelled = [case.name for case in cases if not case.label]
    if target.unlabelled_id == target.dataset_id:
        raise InputError(
            f"--unlabelled-id {target.unlabelled_id} is the id of the labelled data set: choose another one"
        )
    if target.unlabelled_id is not None:
        return [(target.dataset_id, name), (target.unlabelled_id, f"{name}Unlabelled")]
    if labelled and unlabelled:
        raise InputError(
            f"{len(unlabelled)} of {len(cases)} cases have no segmentation ({', '.join(unlabelled[:3])}"
            f"{', …' if len(unlabelled) > 3 else ''}). They get a data set of their own, so that nnU-Net cannot train on them "
            "as if they were healthy: give its id with --unlabelled-id"
        )
    return [(target.dataset_id, name if labelled else target.name or f"{name}Unlabelled")]


def _without_constant(case: Case, checked: CheckedCase) -> Case:
    present = {role: scan for role, scan in case.images.items() if not checked.scans[role].constant}
    return replace(case, images=present)


def _labels(
    cases: Sequence[Case], checked: dict[str, CheckedCase], found: Findings, problems: Problems
) -> LabelScheme | None:
    """Meaning of the labels; adds to `problems` the cases with values it does not know."""
    values = {case.name: set(checked[case.name].values) for case in cases if case.label}
    if not values:
        return None
    labels = found.labels or _found_scheme(values)
    files = {case.name: case.label for case in cases}
    for case, inside in values.items():
        if inside - labels.values:
            source = f" ({labels.convention})" if labels.convention else ""
            problems[case] = [
                f"its segmentation {files[case]} has the values {sorted(inside - labels.values)}; known are {sorted(labels.values)}"
                f"{source}. Is it of another convention?"
            ]
    return labels


def _found_scheme(values: Mapping[str, set[int]]) -> LabelScheme:
    try:
        return scheme_from_values(set().union(*values.values()))
    except InputError as error:
        cases = {
            value: [case for case, inside in values.items() if value in inside]
            for value in set().union(*values.values())
        }
        rarest = min(cases, key=lambda value: len(cases[value]))
        example = f"{rarest} is in {len(cases[rarest])} of {len(values)} cases, like {cases[rarest][0]}"
        raise InputError(f"{error} ({example})") from None


def _divide(
    cases: Sequence[Case], modalities: Sequence[str], target: Target, problems: Problems
) -> tuple[list[Case], list[Case]]:
    """Labelled and unlabelled cases; adds to `problems` the labelled ones that lack a modality and have no place."""
    labelled, unlabelled = [], []
    for case in cases:
        missing = [modality for modality in modalities if modality not in case.images]
        if case.name in problems:
            continue
        if not case.images and case.label is None:
            problems[case.name] = ["every image of the case is constant: remove the case"]
        elif case.label is None:
            unlabelled.append(case)
        elif not missing:
            labelled.append(case)
        elif case.images and target.unlabelled_id is not None:
            unlabelled.append(replace(case, label=None))
        else:
            problems[case.name] = [
                f"lacks {', '.join(missing)}; a labelled case needs every modality (--unlabelled-id keeps its images)"
            ]
    return labelled, unlabelled
