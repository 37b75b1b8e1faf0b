"""Which cases of several data sets are of one patient."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nnssl_plugin.nnunet.dataset_json import content_of, is_patient_known, patient_of
from nnssl_plugin.nnunet.same_patient import first_names


@dataclass(frozen=True)
class DatasetCases:
    """The cases of one data set that matter. `description`: its `dataset.json`."""

    name: str
    description: Mapping[str, Any]
    cases: tuple[str, ...]


def patients_across(datasets: Iterable[DatasetCases]) -> dict[tuple[str, str], str]:
    """One name for every patient, whichever data sets they are in.

    Two data sets have a patient in common where one of them says whose a case is and the other has that patient too, or where
    they hold the same scan. A case that only is called like one of another data set is of another patient.

    Returns:
        Data set and case → patient: the name in the first of the data sets, with that of the data set behind it if there
        is another patient of this name.
    """
    datasets = list(datasets)
    said = {
        patient_of(one.description, case)
        for one in datasets
        for case in one.cases
        if is_patient_known(one.description, case)
    }
    marks: dict[tuple[str, str], set[Hashable]] = {}
    for one in datasets:
        for case in one.cases:
            patient = patient_of(one.description, case)
            known_by = marks.setdefault((one.name, patient), set())
            known_by.update(content_of(one.description, case).values())
            if patient in said:
                known_by.add(("patient", patient))
    first = first_names(marks)
    owners: dict[str, tuple[str, str]] = {}
    for name in first.values():
        owners.setdefault(name[1], name)
    texts = {name: (of[1] if owners[of[1]] == of else f"{of[1]} ({of[0]})") for name, of in first.items()}
    return {
        (one.name, case): texts[one.name, patient_of(one.description, case)] for one in datasets for case in one.cases
    }


def patients_in_common(dataset: DatasetCases, others: DatasetCases) -> set[str]:
    """Cases of a data set that are of patients of `others`, by what was said or by their scans; see `patients_across`."""
    patients = patients_across([others, dataset])
    theirs = {patients[others.name, case] for case in others.cases}
    return {case for case in dataset.cases if patients[dataset.name, case] in theirs}


def maybe_in_common(dataset: DatasetCases, others: DatasetCases) -> set[str]:
    """`patients_in_common`, and the cases whose patients are only called as those of `others`: all that must be kept apart."""
    names = {patient_of(others.description, case) for case in others.cases}
    alike = {case for case in dataset.cases if patient_of(dataset.description, case) in names}
    return alike | patients_in_common(dataset, others)


def not_comparable(one: DatasetCases, other: DatasetCases) -> list[str]:
    """Case names in both data sets, where nobody can say whether they are of one patient.

    That is so where nobody said whose they are and the scans of one of them were not recorded at its conversion.
    """
    return [
        case
        for case in sorted(set(one.cases) & set(other.cases))
        if not (is_patient_known(one.description, case) or is_patient_known(other.description, case))
        and not (content_of(one.description, case) and content_of(other.description, case))
    ]
