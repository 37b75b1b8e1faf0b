"""What is no reason to leave a case out, but must be known before anybody trains."""

from collections.abc import Sequence
from pathlib import Path

from nnssl_plugin.conversion.dataset import Dataset
from nnssl_plugin.conversion.identity import seen_in_other_datasets, shared_scans
from nnssl_plugin.conversion.label_problems import absent_labels


def warning_lines(datasets: Sequence[Dataset], raw: Path) -> list[str]:
    """One line for each thing that the user must know of the data sets of a conversion.

    Args:
        datasets: those to be written.
        raw: the folder of raw data sets, whose other data sets are compared.
    """
    lines = []
    for dataset in datasets:
        present = {modality for case in dataset.cases for modality in case.images}
        if absent_modalities := [modality for modality in dataset.modalities if modality not in present]:
            lines.append(f"{dataset.folder_name}: modalities declared, but in no case: {', '.join(absent_modalities)}")
        if dataset.label_scheme and (absent := absent_labels(dataset.label_scheme, dataset.cases, dataset.checked)):
            lines.append(f"{dataset.folder_name}: label values declared, but in no case: {', '.join(absent)}")
    cases = [case for dataset in datasets for case in dataset.cases]
    checked = {name: seen for dataset in datasets for name, seen in dataset.checked.items()}
    lines += [f"one scan under several names, counted as one patient: {line}" for line in shared_scans(cases, checked)]
    written = {dataset.folder_name for dataset in datasets}
    lines += [
        f"{line}: where those are validated on, pre-training leaves these out"
        for line in seen_in_other_datasets(cases, checked, raw, written)
    ]
    return lines
