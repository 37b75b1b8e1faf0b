"""Which images a pre-training run sees."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from nnssl_plugin.data.case_index import build_case_index
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.dataset_json import channel_names, missing_modalities, side_files_of, table_row_of
from nnssl_plugin.nnunet.environment import dataset_name, folder_of
from nnssl_plugin.nnunet.patients import DatasetCases, not_comparable, patients_across
from nnssl_plugin.nnunet.plans_file import plans_of, preprocessed_folder, preprocessing_by_identifier


def gather_cohort(
    plans: dict[str, Any],
    data_identifier: str,
    dataset_json: Mapping[str, Any],
    training_cases: Sequence[str],
    validation_cases: Sequence[str],
    further_datasets: Sequence[int | str],
    say: Callable[[str], None],
    rank: int = 0,
    world: int = 1,
) -> list[CaseRecord]:
    """Training cases of the fold, and every case of the further data sets.

    A case whose patient is among the fold's validation cases is left out and reported, whichever data set it is of and
    whatever it is called there: a comparison on that fold would be too good. Validation cases that are training cases
    as well (fold `all`) stay.

    Args:
        plans: of the run, for the data set on the command line.
        data_identifier: name of the folder of preprocessed images, in every data set.
        dataset_json: of that data set.
        training_cases: of the fold.
        validation_cases: of the fold.
        further_datasets: ids or names.
        say: prints a line.
        rank: of this process.
        world: number of processes, which share the work of looking at the images.

    Raises:
        InputError: a further data set is unknown, not preprocessed under the same plans, or has other modalities; an
            image is not usable; a modality recorded as missing is there; no training case is left.
    """
    modalities = channel_names(dataset_json)
    own = preprocessed_folder(plans["dataset_name"])
    further = _further_datasets(further_datasets, own, plans, data_identifier, modalities)
    target = DatasetCases(own.name, dataset_json, tuple(dict.fromkeys([*training_cases, *validation_cases])))
    patients = patients_across([target, *further])
    unseen = set(validation_cases) - set(training_cases)
    held_out = {patients[own.name, case] for case in unseen}
    records = []
    for dataset in (replace(target, cases=tuple(training_cases)), *further):
        kept = [case for case in dataset.cases if patients[dataset.name, case] not in held_out]
        if len(kept) < len(dataset.cases):
            say(
                f"{dataset.name}: {len(dataset.cases) - len(kept)} cases of validation patients of this fold (by name or by "
                "their scans) are left out"
            )
        if dataset.name == own.name and not kept:
            raise InputError(
                "every training case of this fold is of a patient of its validation cases: train on fold all"
            )
        if dataset.name != own.name and (
            alike := not_comparable(replace(target, cases=tuple(sorted(unseen))), dataset)
        ):
            say(
                f"WARNING: {len(alike)} cases of {dataset.name} are called like validation cases of this fold "
                f"({', '.join(alike[:3])}) and count as other patients. Their scans were not compared: convert both data sets "
                "again with this version, with --patient if they are the same"
            )
        images = preprocessed_folder(dataset.name) / data_identifier
        names = {case: patients[dataset.name, case] for case in kept}
        added = build_case_index(images, kept, modalities, names, rank, world)
        _verify_presence(added, dataset.description, modalities, say)
        records += [_with_side_data(record, dataset) for record in added]
    return records


def _with_side_data(record: CaseRecord, dataset: DatasetCases) -> CaseRecord:
    """The record, with the case's row of the data set's table and its files beside the images."""
    stated = side_files_of(dataset.description, record.case)
    # Paths are absolute, or start from the raw data set.
    files = {name: folder_of("nnUNet_raw") / dataset.name / file for name, file in stated.items()}
    return replace(record, table=table_row_of(dataset.description, record.case), files=files)


def _further_datasets(
    names_or_ids: Sequence[int | str], own: Path, plans: dict[str, Any], data_identifier: str, modalities: list[str]
) -> list[DatasetCases]:
    found = []
    for name_or_id in names_or_ids:
        folder = preprocessed_folder(dataset_name(name_or_id))
        if folder == own:
            raise InputError(
                f"pretraining.datasets names {folder.name}, the data set that is trained on: its validation cases would "
                "be seen. Remove it from the list, or train on fold all"
            )
        description = _check_preprocessed_alike(folder, plans, data_identifier)
        if channel_names(description) != modalities:
            raise InputError(f"{folder.name} has the modalities {channel_names(description)}, expected {modalities}")
        cases = sorted(nnUNetDatasetBlosc2.get_identifiers(str(folder / data_identifier)))
        found.append(DatasetCases(folder.name, description, tuple(cases)))
    return found


def _check_preprocessed_alike(folder: Path, plans: dict[str, Any], data_identifier: str) -> dict[str, Any]:
    """Check that a further data set can be drawn from together with the first, and return its `dataset.json`."""
    advice = "run nnssl_plugin align --pretrain ID --target ID, with the plans you train with"
    if not (folder / data_identifier).is_dir():
        raise InputError(f"{folder.name} has no preprocessed images {data_identifier!r} in {folder}: {advice}")
    wanted = preprocessing_by_identifier(plans)[data_identifier]
    entries = [preprocessing_by_identifier(other) for other in plans_of(folder.name).values()]
    described = [entry[data_identifier] for entry in entries if data_identifier in entry]
    if not described:
        raise InputError(f"no plans file in {folder} says how {data_identifier!r} was preprocessed: {advice}")
    if wanted not in described:
        differing = ", ".join(
            f"{key} {described[0][key]} instead of {value}"
            for key, value in wanted.items()
            if described[0][key] != value
        )
        raise InputError(f"{folder.name} was preprocessed differently from these plans ({differing}): {advice}")
    return dict(read_json(folder / "dataset.json"))


def _verify_presence(
    records: Sequence[CaseRecord],
    dataset_json: Mapping[str, Any],
    modalities: list[str],
    say: Callable[[str], None],
) -> None:
    """Check what is recorded as missing against the images, and say what is constant without being recorded."""
    constant = []
    for record in records:
        recorded = missing_modalities(dataset_json, record.case)
        absent = [name for name, there in zip(modalities, record.present, strict=True) if not there]
        constant += [f"{record.case} {name}" for name in absent if name not in recorded]
        for name in recorded:
            if name in modalities and record.present[modalities.index(name)]:
                raise InputError(
                    f"case {record.case}: {name} is recorded as missing, but the preprocessed image has it; convert and "
                    "preprocess the data set again"
                )
    if constant:
        say(f"{len(constant)} constant images are treated as missing modalities: {', '.join(constant[:10])}")
