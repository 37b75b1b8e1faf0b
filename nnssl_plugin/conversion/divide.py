"""Which data set a case goes to: labelled and unlabelled cases never share one."""

from collections.abc import Sequence
from dataclasses import replace

from nnssl_plugin.conversion.case import Case, Findings, Problems
from nnssl_plugin.conversion.options import ConversionOptions
from nnssl_plugin.errors import InputError


def ids_and_names(found: Findings, options: ConversionOptions) -> list[tuple[int, str]]:
    """Id and name of the labelled data set and of the unlabelled one; one entry where there is only one of them.

    Raises:
        InputError: both have one id, or the unlabelled one has none.
    """
    name = options.name or found.name
    labelled = [case for case in found.cases if case.label]
    unlabelled = [case.name for case in found.cases if not case.label]
    if options.unlabelled_id == options.dataset_id:
        raise InputError(
            f"--unlabelled-id {options.unlabelled_id} is the id of the labelled data set: choose another one"
        )
    if options.unlabelled_id is not None:
        return [(options.dataset_id, name), (options.unlabelled_id, f"{name}Unlabelled")]
    if labelled and unlabelled:
        raise InputError(
            f"{len(unlabelled)} of {len(found.cases)} cases have no segmentation ({', '.join(unlabelled[:3])}"
            f"{', …' if len(unlabelled) > 3 else ''}). They get a data set of their own, so that nnU-Net cannot train on them "
            f"as if they were healthy: {found.advice_on_unlabelled}"
        )
    return [(options.dataset_id, name if labelled else options.name or f"{name}Unlabelled")]


def divide(
    cases: Sequence[Case], modalities: Sequence[str], options: ConversionOptions, problems: Problems
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
        elif case.images and options.unlabelled_id is not None:
            unlabelled.append(replace(case, label=None))
        else:
            problems[case.name] = [
                f"lacks {', '.join(missing)}; a labelled case needs every modality (--unlabelled-id keeps its images)"
            ]
    return labelled, unlabelled
