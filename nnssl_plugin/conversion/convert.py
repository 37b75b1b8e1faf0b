"""What every converter does with the cases it has found: check, write, report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nnssl_plugin.conversion.case import Case, Problems
from nnssl_plugin.conversion.check import check_cases
from nnssl_plugin.conversion.dataset_folder import Dataset, check_name_is_free, write_datasets
from nnssl_plugin.conversion.label_scheme import LabelScheme, scheme_from_values
from nnssl_plugin.conversion.summary import problem_lines, summary_lines
from nnssl_plugin.errors import InputError


@dataclass(frozen=True)
class Target:
    """Where a conversion goes and how.

    `unlabelled_id`: data set of the unlabelled cases of a folder that has labelled ones too. `copy`: copy files instead
    of linking to them. `strict`: write nothing if any case would have to be left out.
    """

    dataset_id: int
    name: str | None = None
    unlabelled_id: int | None = None
    overwrite: bool = False
    copy: bool = False
    strict: bool = False


def convert_cases(
    cases: Sequence[Case],
    problems: Problems,
    modalities: Sequence[str],
    labels: LabelScheme | None,
    target: Target,
    default_name: str,
    converted_by: str,
) -> int:
    """Check `cases`, write them as nnU-Net data sets and print a summary.

    Labelled and unlabelled cases never share a data set. A labelled case that lacks a modality goes, without its label,
    to the unlabelled data set if one is asked for, and is left out otherwise.

    Args:
        cases: what was found.
        problems: of cases that were left out already.
        modalities: in channel order.
        labels: None to take the values that are found as classes.
        target: where to and how.
        default_name: of the data set, if `target` has none.
        converted_by: for `dataset.json`.

    Returns:
        Exit code: 0, or 1 where cases were left out.

    Raises:
        InputError: nothing can be written, or a case would be left out and `target` is strict.
    """
    problems = dict(problems)
    labelled_name, unlabelled_name = _ids_and_names(cases, target, default_name)
    labelled, unlabelled = _divide(cases, modalities, target, problems)
    for (dataset_id, name), members in ((labelled_name, labelled), (unlabelled_name, unlabelled)):
        if members:
            check_name_is_free(dataset_id, name, target.overwrite)

    checked = check_cases([*labelled, *unlabelled])
    problems.update({one.case.name: one.problems for one in checked if one.problems})
    values = {one.case.name: one.values for one in checked if one.case.label and not one.problems}
    if values:
        labels = labels or scheme_from_values(set().union(*values.values()))
        problems.update(_unknown_values(values, labels))
        if not any(found - {0} for found in values.values()):
            raise InputError(
                "every segmentation is empty: nnU-Net cannot plan such a data set; convert it without labels"
            )

    datasets = [
        Dataset(*name, [case for case in members if case.name not in problems], modalities, scheme)
        for name, members, scheme in ((labelled_name, labelled, labels), (unlabelled_name, unlabelled, None))
    ]
    datasets = [dataset for dataset in datasets if dataset.cases]
    if problems and (target.strict or not datasets):
        raise InputError("\n".join(["nothing was written", *problem_lines(problems)]))
    counts = write_datasets(datasets, target.copy, converted_by)
    had_label = {case.name for case in cases if case.label}
    without_label = [case.name for case in unlabelled if case.name in had_label and case.name not in problems]
    print("\n".join(summary_lines(datasets, counts, problems, without_label)))
    return 1 if problems else 0


def _ids_and_names(cases: Sequence[Case], target: Target, default_name: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """Id and name of the labelled and of the unlabelled data set."""
    name = target.name or default_name
    labelled = [case for case in cases if case.label]
    if target.unlabelled_id == target.dataset_id:
        raise InputError(
            f"--unlabelled-id {target.unlabelled_id} is the id of the labelled data set: choose another one"
        )
    if target.unlabelled_id is not None:
        return (target.dataset_id, name), (target.unlabelled_id, f"{name}Unlabelled")
    if labelled and len(labelled) < len(cases):
        raise InputError(
            f"{len(cases) - len(labelled)} of {len(cases)} cases have no segmentation. They get a data set of their own, "
            "so that nnU-Net cannot train on them as if they were healthy: give its id with --unlabelled-id"
        )
    return (target.dataset_id, name), (target.dataset_id, target.name or f"{name}Unlabelled")


def _divide(
    cases: Sequence[Case], modalities: Sequence[str], target: Target, problems: Problems
) -> tuple[list[Case], list[Case]]:
    """Labelled and unlabelled cases; adds to `problems` the labelled ones that lack a modality and have no place."""
    labelled, unlabelled = [], []
    for case in cases:
        missing = [modality for modality in modalities if modality not in case.images]
        if case.label is None:
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


def _unknown_values(values: dict[str, set[int]], labels: LabelScheme) -> Problems:
    return {
        case: [
            f"its segmentation has the values {sorted(found - labels.values)}; known are {sorted(labels.values)}. "
            "Is it of another convention?"
        ]
        for case, found in values.items()
        if found - labels.values
    }
