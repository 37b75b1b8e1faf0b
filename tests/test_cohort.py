"""Which cases pre-training sees: never one of a patient that the fold validates on, whatever it is called."""

import json
from pathlib import Path
from typing import Any

import pytest

from nnssl_plugin.data.case_index import CaseRecord
from nnssl_plugin.data.cohort import gather_cohort
from nnssl_plugin.errors import InputError
from tests.synthetic import NAME, make_plans, write_dataset

FURTHER = "Dataset902_More"
TRAINING, VALIDATION = ["case00", "case01"], ["case02", "case03"]


def entry(patient: str, known: bool, *scans: str) -> dict[str, Any]:
    content = {f"T{number}": scan for number, scan in enumerate(scans)}
    return {"patient": patient, "patient_known": known, "missing": [], "content": content}


def gather(folder: Path, own: dict, further: dict | None = None, first: int = 10) -> tuple[list[CaseRecord], list[str]]:
    """The records of fold 0 of four cases and of three of another data set, and what was logged."""
    plans = make_plans()
    write_dataset(folder, plans, cases=4, nnssl_plugin={"cases": own})
    if further is not None:
        write_dataset(folder, plans, cases=3, name=FURTHER, first=first, nnssl_plugin={"cases": further})
    path = folder / "nnUNet_preprocessed" / NAME / "dataset.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    said: list[str] = []
    others = [] if further is None else [FURTHER]
    records = gather_cohort(plans, "nnUNetPlans_3d", description, TRAINING, VALIDATION, others, said.append)
    return records, said


def test_a_scan_of_a_validation_case_under_another_name(nnunet_folders: Path) -> None:
    own = {case: entry(case, False, f"{case} a", f"{case} b") for case in TRAINING + VALIDATION}
    further = {
        "case10": entry("case10", False, "case02 b"),
        # Another examination of the patient whose first one is there too.
        "case11": entry("p", True, "case03 a"),
        "case12": entry("p", True, "unseen"),
    }
    records, said = gather(nnunet_folders, own, further)
    assert [record.case for record in records] == TRAINING
    assert said == [f"{FURTHER}: 3 cases of validation patients of this fold (by name or by their scans) are left out"]


def test_a_scan_of_a_training_case_is_of_that_patient(nnunet_folders: Path) -> None:
    own = {"case00": entry("case00", False, "x")}
    records, said = gather(nnunet_folders, own, {"case10": entry("other", True, "x")})
    assert [record.case for record in records] == [*TRAINING, "case10", "case11", "case12"]
    patients = [record.patient for record in records]
    assert patients == ["case00", "case01", "case00", "case11", "case12"]
    assert said == []


def test_training_cases_of_validation_patients(nnunet_folders: Path) -> None:
    own = {"case00": entry("case00", False, "x"), "case02": entry("case02", False, "x")}
    records, said = gather(nnunet_folders, own)
    assert [record.case for record in records] == ["case01"]
    assert said[0].startswith(f"{NAME}: 1 cases of validation patients")
    everybody = {case: entry("p", True) for case in TRAINING + VALIDATION}
    with pytest.raises(InputError, match="every training case of this fold is of a patient of its validation cases"):
        gather(nnunet_folders, everybody)


def test_equal_names_whose_scans_were_not_compared(nnunet_folders: Path) -> None:
    """Cases 02 to 04; nothing but their names is known."""
    records, said = gather(nnunet_folders, {}, {}, first=2)
    assert [record.case for record in records] == [*TRAINING, "case02", "case03", "case04"]
    assert said[0].startswith(
        f"WARNING: 2 cases of {FURTHER} are called like validation cases of this fold (case02, case03)"
    )


def test_equal_names_whose_scans_differ(nnunet_folders: Path) -> None:
    own = {case: entry(case, False, f"{case} here") for case in TRAINING + VALIDATION}
    further = {case: entry(case, False, f"{case} there") for case in ("case02", "case03", "case04")}
    records, said = gather(nnunet_folders, own, further, first=2)
    assert [record.case for record in records] == [*TRAINING, "case02", "case03", "case04"]
    assert said == []


def test_equal_names_that_somebody_said_are_one_patient(nnunet_folders: Path) -> None:
    further = {"case02": entry("case02", True), "case03": entry("p", True), "case04": entry("case03", True)}
    records, _ = gather(nnunet_folders, {}, further, first=2)
    assert [(record.case, record.patient) for record in records] == [
        *zip(TRAINING, TRAINING, strict=True),
        ("case03", "p"),
    ]


def test_a_record_knows_the_row_of_the_table_and_the_files_of_its_case(nnunet_folders: Path) -> None:
    own = {"case00": {**entry("p", True, "x"), "table": {"grade": "2"}, "files": {"report": "/reports/a.txt"}}}
    first, second = gather(nnunet_folders, own)[0]
    assert (dict(first.table), dict(first.files)) == ({"grade": "2"}, {"report": Path("/reports/a.txt")})
    assert (dict(second.table), dict(second.files)) == ({}, {})
