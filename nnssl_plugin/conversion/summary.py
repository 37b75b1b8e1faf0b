from collections import Counter
from collections.abc import Mapping, Sequence

from nnssl_plugin.conversion.case import Problems
from nnssl_plugin.conversion.dataset_folder import Dataset, folders_with_id
from nnssl_plugin.nnunet import folder_of


def problem_lines(problems: Problems) -> list[str]:
    """One line per problem, behind the name of its case."""
    lines = [f"  {case}: {problem}" for case, found in sorted(problems.items()) for problem in found]
    return [f"left out: {len(problems)} cases", *lines] if problems else []


def summary_lines(
    datasets: Sequence[Dataset], counts: Mapping[str, Counter[str]], problems: Problems, without_label: Sequence[str]
) -> list[str]:
    """What was written, what was left out and which commands come next.

    Args:
        datasets: those written, a labelled one first.
        counts: as `write_datasets` returns them.
        problems: of the cases that were left out.
        without_label: cases that went to the unlabelled data set although they had a label.
    """
    lines = []
    for dataset in datasets:
        patients = len({case.patient for case in dataset.cases})
        kind = "unlabelled" if dataset.labels is None else "labelled"
        files = ", ".join(f"{count} {what}" for what, count in sorted(counts[dataset.folder_name].items()))
        lines += [
            f"{dataset.folder_name}: {len(dataset.cases)} {kind} cases of {patients} patients; "
            f"channels {', '.join(dataset.modalities)}",
            f"  files: {files}",
            *_missing(dataset),
            *_folds(dataset, patients),
            *_stale(dataset),
        ]
    if without_label:
        lines.append(f"kept without their label, because a modality is missing: {', '.join(without_label)}")
    return [*lines, *problem_lines(problems), "next:", *(f"  {step}" for step in _next_steps(datasets))]


def _missing(dataset: Dataset) -> list[str]:
    missing = Counter(modality for case in dataset.cases for modality in dataset.missing(case))
    if not missing:
        return []
    return ["  missing: " + ", ".join(f"{modality} in {count} cases" for modality, count in missing.items())]


def _folds(dataset: Dataset, patients: int) -> list[str]:
    if dataset.splits:
        return [f"  splits_final.json: {len(dataset.splits)} folds, no patient on both sides; planning copies it along"]
    if dataset.labels is not None and patients == 1:
        return ["  one patient only: there is no split, nnU-Net can train on fold all alone"]
    return []


def _stale(dataset: Dataset) -> list[str]:
    # nnU-Net would trust the fingerprint and the folds that it finds there.
    raw = folder_of("nnUNet_raw")
    return [
        f"  {folder} was made from the data set that was replaced: remove it"
        for folder in folders_with_id(dataset.dataset_id)
        if folder.parent != raw
    ]


def _next_steps(datasets: Sequence[Dataset]) -> list[str]:
    plan = "nnUNetv2_plan_and_preprocess -d {} -c 3d_fullres --verify_dataset_integrity"
    first, *others = datasets
    if first.labels is None:
        return [
            f"nnssl_plugin align --pretrain {first.dataset_id} --target ID  (the data set to fine-tune on, once planned)",
            f"or, by itself: {plan.format(first.dataset_id)}",
        ]
    return [
        plan.format(first.dataset_id),
        *(f"nnssl_plugin align --pretrain {other.dataset_id} --target {first.dataset_id}" for other in others),
    ]
