"""Data sets in nnU-Net's raw folder that appear complete or not at all."""

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json

from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.dataset import Dataset
from nnssl_plugin.conversion.label_scheme import PLACEHOLDER
from nnssl_plugin.conversion.work_folder import WorkFolder
from nnssl_plugin.conversion.write_case import CaseWriter, Placed
from nnssl_plugin.images.parallel import in_parallel
from nnssl_plugin.nnunet.dataset_json import KEY


def write_dataset(dataset: Dataset, work: WorkFolder, copy: bool, converted_by: str) -> dict[str, Placed]:
    """Write a data set inside the work folder, but for the cases that an earlier run has written.

    Args:
        dataset: to be written.
        work: where it grows.
        copy: copy files that could be listed where they are.
        converted_by: for `dataset.json`.

    Returns:
        Case → what became of its files.
    """
    folder, ending = work.path / dataset.folder_name, dataset.file_ending
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)

    def write(case: Case) -> Placed:
        placed = work.written(dataset.folder_name, case, ending)
        if placed is None:
            placed = CaseWriter(dataset, case, folder, ending, copy).write()
            work.save_written(dataset.folder_name, case, placed)
        return placed

    results = in_parallel(write, dataset.cases, f"writing {dataset.folder_name}")
    placed = {case.name: files for case, files in zip(dataset.cases, results, strict=True)}
    _remove_all_but(folder, {folder / made["file"] for files in placed.values() for made in files.values()})
    _write_dataset_json(dataset, folder, ending, placed, converted_by)
    _write_cases_csv(dataset, folder / "cases.csv")
    if dataset.splits:
        save_json(dataset.splits, str(folder / "splits_final.json"), sort_keys=False)
    return placed


def move_into_place(datasets: Sequence[Dataset], work: WorkFolder) -> None:
    """Move whole data sets from the work folder to nnUNet_raw, replacing those of the same names."""
    raw = work.path.parent
    for dataset in datasets:
        final, replaced = raw / dataset.folder_name, work.path / "replaced"
        if final.exists():
            os.replace(final, replaced)
        os.replace(work.path / dataset.folder_name, final)
        shutil.rmtree(replaced, ignore_errors=True)
    work.remove()


def _remove_all_but(folder: Path, wanted: set[Path]) -> None:
    # An interrupted run may have left half a file, or cases that are not there any more.
    for part in ("imagesTr", "labelsTr"):
        for file in (folder / part).iterdir():
            if file not in wanted:
                file.unlink()


def _write_dataset_json(
    dataset: Dataset, folder: Path, ending: str, placed: Mapping[str, Placed], converted_by: str
) -> None:
    labels = dataset.labels or PLACEHOLDER
    ours: dict[str, Any] = {"unlabelled": dataset.labels is None}
    if dataset.labels and dataset.labels.convention:
        ours["convention"] = dataset.labels.convention
        ours["published_values"] = {str(new): old for old, new in dataset.labels.recoded.items()}
    ours["cases"] = {
        case.name: {
            "patient": case.patient,
            "missing": dataset.missing(case),
            "background": {role: dataset.checked[case.name].scans[role].background for role in case.images},
        }
        for case in dataset.cases
    }
    listing: dict[str, Any] = {}
    if any(files["how"] == "listed in place" for case in placed.values() for files in case.values()):
        listing["dataset"] = {
            case: {
                "images": [files[modality]["file"] for modality in dataset.modalities],
                "label": files["label"]["file"],
            }
            for case, files in placed.items()
        }
    generate_dataset_json(
        str(folder),
        channel_names={str(i): modality for i, modality in enumerate(dataset.modalities)},
        labels=dict(labels.labels),
        num_training_cases=len(dataset.cases),
        file_ending=ending,
        regions_class_order=tuple(labels.regions_class_order) if labels.regions_class_order else None,
        dataset_name=dataset.folder_name,
        license="not known to the converter: the licence of the original images holds",
        converted_by=converted_by,
        **{KEY: ours},
        **listing,
    )


def _write_cases_csv(dataset: Dataset, path: Path) -> None:
    about = sorted({key for case in dataset.cases for key in case.about})
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["case", "patient", "missing", *about])
        for case in dataset.cases:
            missing = " ".join(dataset.missing(case))
            rows.writerow([case.name, case.patient, missing, *(case.about.get(key, "") for key in about)])
