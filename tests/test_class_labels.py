import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnssl_plugin.classification.cohort import cases_of_fold
from nnssl_plugin.classification.folds import class_folds, folds_file
from nnssl_plugin.classification.labels import UNKNOWN, case_classes
from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.settings import ClassificationSettings
from tests.class_data import table_of, write_classes
from tests.synthetic import NAME


def described(cases: int = 8, **changes: dict[str, str]) -> dict[str, Any]:
    entries = table_of(cases)
    for case, table in changes.items():
        entries[case]["table"] = table
    return {"nnssl_plugin": {"cases": entries}}


def test_classes_are_sorted_and_numbers_as_numbers() -> None:
    found = case_classes(described(), ["kind", "size"], table_of(8))
    assert found.columns == {"kind": ("block", "plain"), "size": ("9", "10")}
    assert found.of_case["case01"] == (0, 1)
    assert found.of_case["case00"] == (1, UNKNOWN)


def test_a_case_without_any_class_is_left_out() -> None:
    found = case_classes(described(case03={"kind": ""}), ["kind"], table_of(8))
    assert found.left_out == ("case03",)
    assert "case03" not in found.of_case


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([], r"classification\.columns is empty"),
        (["kinds"], "no case has a column 'kinds'; the nearest .* is 'kind'"),
    ],
)
def test_columns_that_are_not_there(columns: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        case_classes(described(), columns, table_of(8))


def test_a_constant_column_and_no_table() -> None:
    same = described(2, case00={"kind": "a"}, case01={"kind": "a"})
    with pytest.raises(InputError, match="one class only"):
        case_classes(same, ["kind"], table_of(2))
    with pytest.raises(InputError, match="convert table"):
        case_classes({}, ["kind"], ["case00"])


def test_folds_are_stratified_by_patient_and_kept(tmp_path: Path) -> None:
    content = described(20)
    for i in range(20):
        # Two cases of each patient, one of each kind.
        content["nnssl_plugin"]["cases"][f"case{i:02d}"]["patient"] = f"p{i // 2}"
    classes = case_classes(content, ["kind"], table_of(20))
    folds = class_folds(tmp_path, content, classes, 5)
    assert sorted(case for fold in folds for case in fold["val"]) == sorted(table_of(20))
    for fold in folds:
        assert {int(case[4:]) // 2 for case in fold["train"]}.isdisjoint({int(case[4:]) // 2 for case in fold["val"]})
        assert sum(int(case[4:]) % 2 for case in fold["val"]) == len(fold["val"]) / 2
    assert class_folds(tmp_path, content, classes, 5) == folds
    with pytest.raises(
        InputError, match=r"classification.folds is 3, but .*classification_splits_kind.json has 5 folds"
    ):
        class_folds(tmp_path, content, classes, 3)


def test_folds_that_do_not_fit_are_named(tmp_path: Path) -> None:
    content = described(8)
    classes = case_classes(content, ["kind"], table_of(8))
    with pytest.raises(InputError, match="class 'block' has 4 patients, too few for 5 folds"):
        class_folds(tmp_path, content, classes, 5)
    file = folds_file(tmp_path, ["kind"])
    for split, message in (
        ({"train": ["case00", "case01", "case02"], "val": ["case02"]}, "patient p02 is trained on and validated on"),
        ({"train": ["case00", "case02"], "val": ["case01"]}, "class 'block' of 'kind' is in no training case"),
        ({"train": ["case00", "case01"], "val": ["case99"]}, "case99 has no class"),
    ):
        file.write_text(json.dumps([split]))
        with pytest.raises(InputError, match=message):
            class_folds(tmp_path, content, classes, 1)


def test_a_share_of_the_patients_keeps_every_class(nnunet_folders: Path) -> None:
    write_classes(nnunet_folders)
    base = nnunet_folders / "nnUNet_preprocessed" / NAME
    content = json.loads((base / "dataset.json").read_text())
    images = base / "nnUNetPlans_2d"
    whole = cases_of_fold(images, content, ClassificationSettings(columns=["kind"], folds=2), 0)
    half = cases_of_fold(images, content, ClassificationSettings(columns=["kind"], folds=2, label_fraction=0.5), 0)
    assert set(half.training) < set(whole.training)
    assert {int(case[4:]) % 2 for case in half.training} == {0, 1}
    assert half.validation == whole.validation
    everything = cases_of_fold(images, content, ClassificationSettings(columns=["kind"]), "all")
    assert everything.training == everything.validation == sorted(table_of(8))
    with pytest.raises(InputError, match="fold 2: there are folds 0 to 1"):
        cases_of_fold(images, content, ClassificationSettings(columns=["kind"], folds=2), 2)
    # nnU-Net's own file is as it was.
    assert len(json.loads((base / "splits_final.json").read_text())) == 1


def test_a_share_keeps_the_rare_class_of_patients_with_several(nnunet_folders: Path) -> None:
    write_classes(nnunet_folders, cases=16)
    base = nnunet_folders / "nnUNet_preprocessed" / NAME
    content = json.loads((base / "dataset.json").read_text())
    entries = content["nnssl_plugin"]["cases"]
    for i, entry in enumerate(entries.values()):
        # Cases of a class that only patients with another case, named before it, have.
        entry["patient"] = f"p{i // 2}"
        entry["table"] = {"kind": "rare" if i in (13, 15) else "common"}
    settings = ClassificationSettings(columns=["kind"], label_fraction=0.2, folds=2)
    for seed in range(5):
        found = cases_of_fold(base / "nnUNetPlans_2d", content, replace(settings, label_seed=seed), "all")
        assert {"common", "rare"} == {entries[case]["table"]["kind"] for case in found.training}


def test_cases_that_got_their_class_later_are_said(nnunet_folders: Path) -> None:
    write_classes(nnunet_folders)
    base = nnunet_folders / "nnUNet_preprocessed" / NAME
    content = json.loads((base / "dataset.json").read_text())
    entry = content["nnssl_plugin"]["cases"]["case03"]["table"]
    kind, entry["kind"] = entry["kind"], ""
    settings = ClassificationSettings(columns=["kind"], folds=2)
    assert cases_of_fold(base / "nnUNetPlans_2d", content, settings, 0).in_no_fold == []
    entry["kind"] = kind
    assert cases_of_fold(base / "nnUNetPlans_2d", content, settings, 0).in_no_fold == ["case03"]
