import pytest

from nnssl_plugin.data.label_subset import label_subset

PATIENTS = {f"case{i:02d}": f"patient{i // 2:02d}" for i in range(40)}
CASES = sorted(PATIENTS)


def patients_of(cases: list[str]) -> set[str]:
    return {PATIENTS[case] for case in cases}


def test_subsets_are_nested_and_take_whole_patients() -> None:
    smaller: set[str] = set()
    for fraction, expected in ((0.01, 1), (0.05, 1), (0.1, 2), (0.2, 4), (0.5, 10), (1.0, 20)):
        chosen = label_subset(CASES, PATIENTS, fraction, seed=3)
        assert len(patients_of(chosen)) == expected
        assert len(chosen) == 2 * expected, "both cases of every patient"
        assert chosen == sorted(chosen), "in the order given"
        assert smaller <= set(chosen)
        smaller = set(chosen)


def test_seed_decides_and_order_of_cases_does_not() -> None:
    first = label_subset(CASES, PATIENTS, 0.2, seed=0)
    assert first == label_subset(CASES, PATIENTS, 0.2, seed=0)
    assert set(first) == set(label_subset(CASES[::-1], PATIENTS, 0.2, seed=0))
    chosen = {frozenset(label_subset(CASES, PATIENTS, 0.2, seed)) for seed in range(10)}
    assert len(chosen) > 5
    counts = dict.fromkeys(CASES, 0)
    for seed in range(400):
        for case in label_subset(CASES, PATIENTS, 0.2, seed):
            counts[case] += 1
    assert min(counts.values()) == pytest.approx(80, abs=35), "every patient is drawn about as often"
    assert max(counts.values()) == pytest.approx(80, abs=35)
