import pytest
from nnunetv2.utilities.crossval_split import generate_crossval_split

from nnssl_plugin.conversion.splits import splits_by_patient


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_patients_are_left_out_one_at_a_time(count: int):
    cases = [f"case{i}" for i in range(count)]
    splits = splits_by_patient({case: case for case in cases})
    assert sorted(fold["val"] for fold in splits) == [[case] for case in cases]
    for fold in splits:
        assert sorted(fold["train"] + fold["val"]) == cases


def test_where_nnunet_splits_by_itself_or_cannot():
    assert splits_by_patient({f"case{i}": f"case{i}" for i in range(5)}) is None
    assert splits_by_patient({"a": "a"}) is None
    assert splits_by_patient({"first": "a", "second": "a"}) is None


def test_patients_with_several_examinations_stay_together():
    patients = {f"p{i}-{visit}": f"p{i}" for i in range(7) for visit in range(1 + i % 3)}
    splits = splits_by_patient(patients)
    assert len(splits) == 5
    assert sorted(case for fold in splits for case in fold["val"]) == sorted(patients)
    for fold in splits:
        assert not {patients[case] for case in fold["train"]} & {patients[case] for case in fold["val"]}
        assert sorted(fold["train"] + fold["val"]) == sorted(patients)
    reference = generate_crossval_split(sorted(set(patients.values())), seed=12345, n_splits=5)
    assert [sorted({patients[case] for case in fold["val"]}) for fold in splits] == [
        sorted(fold["val"]) for fold in reference
    ]


def test_few_patients_with_several_examinations():
    splits = splits_by_patient({"a1": "a", "a2": "a", "b1": "b", "c1": "c", "c2": "c", "c3": "c"})
    assert sorted(fold["val"] for fold in splits) == [["a1", "a2"], ["b1"], ["c1", "c2", "c3"]]
