from itertools import pairwise

import numpy as np
import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.label_subset import label_subset

# Twenty patients, the first five of them with two examinations.
PATIENTS = {f"case{i:02d}": f"patient{i:02d}" for i in range(20)} | {f"again{i}": f"patient{i:02d}" for i in range(5)}


def patients_of(cases: list[str]) -> set[str]:
    return {PATIENTS[case] for case in cases}


@pytest.mark.parametrize("seed", range(5))
def test_smaller_subsets_are_inside_larger_ones(seed: int) -> None:
    subsets = [set(label_subset(PATIENTS, seed, fraction=share)) for share in (0.05, 0.1, 0.2, 0.4, 1.0)]
    assert [len(patients_of(list(subset))) for subset in subsets] == [1, 2, 4, 8, 20]
    for smaller, larger in pairwise(subsets):
        assert smaller < larger
    assert subsets[-1] == set(PATIENTS)
    assert set(label_subset(PATIENTS, seed, count=4)) == subsets[2]


def test_the_rule() -> None:
    names = sorted(set(PATIENTS.values()))
    shuffled = [names[i] for i in np.random.default_rng(7).permutation(20)]
    assert patients_of(label_subset(PATIENTS, 7, count=3)) == set(shuffled[:3])


@pytest.mark.parametrize(("fraction", "patients"), [(0.001, 1), (0.12, 2), (0.13, 3), (0.999, 20)])
def test_shares_are_rounded_and_never_empty(fraction: float, patients: int) -> None:
    assert len(patients_of(label_subset(PATIENTS, 0, fraction=fraction))) == patients


def test_examinations_of_a_patient_stay_together_and_order_does_not_matter() -> None:
    for seed in range(20):
        cases = label_subset(PATIENTS, seed, count=6)
        assert cases == sorted(case for case, patient in PATIENTS.items() if patient in patients_of(cases))
        assert cases == label_subset(dict(reversed(PATIENTS.items())), seed, count=6)


def test_seeds_differ() -> None:
    assert len({tuple(label_subset(PATIENTS, seed, count=5)) for seed in range(10)}) == 10


@pytest.mark.parametrize(
    ("amount", "message"),
    [
        ({}, "one of the two"),
        ({"fraction": 0.5, "count": 3}, "one of the two"),
        ({"fraction": 0.0}, "label fraction 0.0"),
        ({"fraction": 1.5}, "label fraction 1.5"),
        ({"count": 0}, "label count 0"),
        ({"count": 21}, "label count 21: there are 20 patients"),
    ],
)
def test_impossible_amounts(amount: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        label_subset(PATIENTS, 0, **amount)
