import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from nnunetv2.configuration import ANISO_THRESHOLD

from nnssl_plugin.conversion.case import Findings, Problems
from nnssl_plugin.conversion.checked import median_geometry
from nnssl_plugin.conversion.dataset import Dataset, folders_with_id
from nnssl_plugin.conversion.write_case import Placed
from nnssl_plugin.nnunet.environment import folder_of

# Of warnings; all are in conversion.json.
SHOWN = 10
MOST_CLASSES = 10


def problem_lines(problems: Problems) -> list[str]:
    """One line per problem, behind the name of its case."""
    lines = [f"  {case}: {problem}" for case, found in sorted(problems.items()) for problem in found]
    return [f"left out: {len(problems)} cases", *lines] if problems else []


def summary_lines(
    datasets: Sequence[Dataset],
    placed: Mapping[str, Mapping[str, Placed]],
    found: Findings,
    problems: Problems,
    warnings: Sequence[str],
) -> list[str]:
    """What was written, what was left out and which commands come next.

    Args:
        datasets: those written, a labelled one first.
        placed: name of the data set's folder → case → what became of its files.
        found: what the converter recognised.
        problems: of the cases that were left out.
        warnings: what else must be known.
    """
    lines = list(found.statements)
    for dataset in datasets:
        patients = len({case.patient for case in dataset.cases})
        kind = "unlabelled" if dataset.label_scheme is None else "labelled"
        done = Counter(file["how"] for files in placed[dataset.folder_name].values() for file in files.values())
        size, spacing = median_geometry([dataset.checked[case.name] for case in dataset.cases])
        lines += [
            f"{dataset.folder_name}: {len(dataset.cases)} {kind} cases of {patients} patients; "
            f"channels {', '.join(dataset.modalities)}; median {_by(size)} voxels of {_by(spacing)} mm",
            f"  files: {', '.join(f'{count} {how}' for how, count in sorted(done.items()))}",
            *_labels(dataset),
            *_missing(dataset),
            *_notes(dataset),
            *_folds(dataset, patients),
            *_stale(dataset),
        ]
    had_label = {case.name for case in found.cases if case.label}
    dropped = [
        c.name for dataset in datasets if dataset.label_scheme is None for c in dataset.cases if c.name in had_label
    ]
    if dropped:
        lines.append(f"kept without their label, because a modality is missing: {', '.join(dropped)}")
    lines += [f"WARNING: {line}" for line in _first(warnings)]
    return [*lines, *problem_lines(problems), "next:", *(f"  {step}" for step in _next_steps(datasets))]


def _first(warnings: Sequence[str]) -> list[str]:
    more = [f"{len(warnings) - SHOWN} more, see conversion.json"] if len(warnings) > SHOWN else []
    return [*warnings[:SHOWN], *more]


def natural_configuration(size: Sequence[int], spacing: Sequence[float]) -> str:
    """`2d` for images of few or thick slices, else `3d_fullres`.

    Few and thick: a factor of nnU-Net's threshold of anisotropy (3) between the largest and the smallest edge in voxels,
    or of a voxel in mm.
    """
    thick = max(spacing) / min(spacing) > ANISO_THRESHOLD
    return "2d" if thick or max(size) / min(size) > ANISO_THRESHOLD else "3d_fullres"


def _labels(dataset: Dataset) -> list[str]:
    if dataset.label_scheme is None:
        return []
    named = [f"{name} = {value}" for name, value in dataset.label_scheme.labels.items() if name != "background"]
    return [f"  labels: {', '.join(named)}"]


def _missing(dataset: Dataset) -> list[str]:
    missing = Counter(modality for case in dataset.cases for modality in dataset.missing(case))
    if not missing:
        return []
    return ["  missing: " + ", ".join(f"{modality} in {count} cases" for modality, count in missing.items())]


def _notes(dataset: Dataset) -> list[str]:
    scans = [
        (case.name, role, scan)
        for case in dataset.cases
        for role, scan in dataset.checked[case.name].scans.items()
        if role in case.scans
    ]
    noted = [f"{case} {role}: {'; '.join(scan.notes)}" for case, role, scan in scans if scan.notes]
    covered = [scan.resampled for _, _, scan in scans if scan.resampled is not None]
    lines = (
        [f"  resampled: {len(covered)} scans, covering {math.floor(100 * min(covered))}% or more"] if covered else []
    )
    if noted:
        more = f" (and {len(noted) - 1} more, see conversion.json)" if len(noted) > 1 else ""
        lines.append(f"  unusual: {noted[0]}{more}")
    return lines


def _folds(dataset: Dataset, patients: int) -> list[str]:
    if dataset.splits:
        return [f"  splits_final.json: {len(dataset.splits)} folds, no patient on both sides; planning copies it along"]
    if dataset.label_scheme is not None and patients == 1:
        return ["  one patient only: no split keeps it on one side; train on fold all"]
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
    first, *others = datasets
    configuration = natural_configuration(*median_geometry([first.checked[case.name] for case in first.cases]))
    plan = f"nnUNetv2_plan_and_preprocess -d {first.dataset_id} -c {configuration} --verify_dataset_integrity"
    values = {
        column: {case.about.get(column, "") for case in first.cases} for case in first.cases for column in case.about
    }
    # What has more values is rather a measurement.
    columns = sorted(column for column, found in values.items() if 2 <= len(found - {""}) <= MOST_CLASSES)
    name = f"nnssl_plugin plan -d {first.dataset_id} -p nnUNetPlans -o NAME --classify {' '.join(columns)}"
    classify = [f"to classify: {plan}, then {name}"] if columns else []
    if first.label_scheme is None and classify:
        return classify
    if first.label_scheme is None:
        return [
            f"nnssl_plugin align --pretrain {first.dataset_id} --target ID  (the data set to fine-tune on, once planned)",
            f"or, by itself: {plan}",
        ]
    return [
        plan,
        *(f"nnssl_plugin align --pretrain {other.dataset_id} --target {first.dataset_id}" for other in others),
        *classify,
    ]


def _by(numbers: Sequence[float]) -> str:
    return " x ".join(f"{number:.3g}" for number in np.asarray(numbers, dtype=float))
