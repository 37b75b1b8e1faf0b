"""Data sets in nnU-Net's raw folder that appear complete or not at all."""

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json

from nnssl_plugin.conversion.case import Case
from nnssl_plugin.conversion.dataset import Dataset
from nnssl_plugin.conversion.label_scheme import PLACEHOLDER, LabelScheme
from nnssl_plugin.conversion.work_folder import WorkFolder
from nnssl_plugin.conversion.write_case import CaseWriter, Placed, side_file
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, whole_file, write_json
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

    Raises:
        OSError: a file cannot be written, or not be read any more; what is done so far is kept for the next run.
    """
    folder, ending = work.path / dataset.folder_name, dataset.file_ending
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)

    def write(case: Case) -> Placed:
        placed = work.written(dataset.folder_name, case, ending)
        if placed is None:
            try:
                placed = CaseWriter(dataset, case, folder, ending, copy).write()
            except OSError:
                raise
            # Its files were readable when they were checked.
            except Exception as error:
                raise OSError(
                    f"case {case.name} could not be written: {error}. If its files have changed meanwhile, run the same command "
                    "again"
                ) from None
            work.save_written(dataset.folder_name, case, placed)
        return placed

    results = in_parallel(write, dataset.cases, f"writing {dataset.folder_name}")
    placed = {case.name: files for case, files in zip(dataset.cases, results, strict=True)}
    _remove_all_but(folder, {folder / made["file"] for files in placed.values() for made in files.values()})
    _write_dataset_json(dataset, folder, ending, placed, converted_by)
    _write_cases_csv(dataset, folder / "cases.csv")
    if dataset.splits:
        write_json(dataset.splits, folder / "splits_final.json")
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
    for file in folder.glob("*Tr/*"):
        if file not in wanted:
            file.unlink()


def _write_dataset_json(
    dataset: Dataset, folder: Path, ending: str, placed: Mapping[str, Placed], converted_by: str
) -> None:
    scheme = dataset.label_scheme or PLACEHOLDER
    ours: dict[str, Any] = {"unlabelled": dataset.label_scheme is None}
    if dataset.label_scheme and dataset.label_scheme.convention:
        ours["convention"] = dataset.label_scheme.convention
        ours["published_values"] = {str(new): old for old, new in dataset.label_scheme.recoded.items()}
    ours["cases"] = {case.name: _entry(dataset, case) for case in dataset.cases}
    listing: dict[str, Any] = {}
    if any(files["how"] == "listed in place" for case in placed.values() for files in case.values()):
        listing["dataset"] = {
            case: {
                "images": [files[modality]["file"] for modality in dataset.modalities],
                "label": files["label"]["file"],
            }
            for case, files in placed.items()
        }
    path = folder / "dataset.json"
    try:
        _generate(dataset, folder, scheme, ending, converted_by, {KEY: ours, **listing})
        read_json(path)
    except (OSError, InputError) as error:
        path.unlink(missing_ok=True)
        raise OSError(f"{path} could not be written: {error}") from None


def _entry(dataset: Dataset, case: Case) -> dict[str, Any]:
    """What our part of `dataset.json` says of a case; see `nnunet.dataset_json`."""
    seen = {role: dataset.checked[case.name].scans[role] for role in case.images}
    entry: dict[str, Any] = {
        "patient": case.patient,
        "patient_known": case.patient_known,
        "missing": dataset.missing(case),
        "background": {role: scan.background for role, scan in seen.items()},
        "content": {role: scan.content for role, scan in seen.items() if scan.content},
    }
    if case.about:
        entry["table"] = dict(case.about)
    if case.files:
        entry["files"] = {name: side_file(case, name).as_posix() for name in case.files}
    return entry


def _generate(
    dataset: Dataset, folder: Path, scheme: LabelScheme, ending: str, converted_by: str, further: Mapping[str, Any]
) -> None:
    generate_dataset_json(
        str(folder),
        channel_names={str(i): modality for i, modality in enumerate(dataset.modalities)},
        labels=dict(scheme.labels),
        num_training_cases=len(dataset.cases),
        file_ending=ending,
        regions_class_order=tuple(scheme.regions_class_order) if scheme.regions_class_order else None,
        dataset_name=dataset.folder_name,
        license="not known to the converter: the licence of the original images holds",
        converted_by=converted_by,
        **further,
    )


def _write_cases_csv(dataset: Dataset, path: Path) -> None:
    about = sorted({key for case in dataset.cases for key in case.about})
    with whole_file(path) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["case", "patient", "missing", *about])
        for case in dataset.cases:
            missing = " ".join(dataset.missing(case))
            rows.writerow([case.name, case.patient, missing, *(case.about.get(key, "") for key in about)])
