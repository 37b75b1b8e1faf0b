import math

import pytest

from nnssl_plugin.study.results import labels_needed, summarise


def run(arm: str, seed: int, fold: int, labels: str = "7patients") -> dict:
    schedule = "" if arm == "scratch" else "warmup"
    name = f"{arm}_{labels}_{seed}_{fold}"
    return {
        "name": name,
        "arm": arm,
        "schedule": schedule,
        "labels": labels,
        "patients": 7,
        "seed": seed,
        "base_fold": fold,
    }


def score(**dice: float | None) -> dict:
    return {"mean": {"WT": {"Dice": 0.0}}, "cases": {case: {"WT": {"Dice": value}} for case, value in dice.items()}}


def test_means_spread_and_paired_differences() -> None:
    """Two seeds, two folds whose cases have the same names; one score is undefined, one run is missing."""
    runs = [run(arm, seed, fold) for arm in ("scratch", "restoration") for seed in (1, 2) for fold in (0, 1)]
    scores = {
        "scratch_7patients_1_0": score(a=0.5, b=0.7),
        "scratch_7patients_1_1": score(a=0.3, b=0.1),
        "scratch_7patients_2_0": score(a=0.6, b=0.6),
        "restoration_7patients_1_0": score(a=0.6, b=0.9),
        "restoration_7patients_1_1": score(a=0.3, b=None),
        "restoration_7patients_2_0": score(a=0.8, b=0.6),
    }
    scratch, restoration = summarise(runs, scores, {"restoration": "scratch"})
    assert (scratch.arm, restoration.arm) == ("scratch", "restoration, warmup")
    assert scratch.seeds == pytest.approx({1: 0.4, 2: 0.6})
    assert scratch.mean == pytest.approx(0.5)
    assert scratch.spread == pytest.approx(math.sqrt(0.02))
    assert (scratch.cases, scratch.finished, scratch.declared) == (4, 3, 4)
    assert scratch.difference is None
    assert restoration.seeds == pytest.approx({1: 0.6, 2: 0.7})
    assert (restoration.cases, restoration.finished, restoration.declared) == (3, 3, 4)
    # Pairs: fold 0 a +0.1 and +0.2, fold 0 b +0.2 and 0, fold 1 a 0.
    assert restoration.difference is not None
    assert restoration.difference.seeds == pytest.approx({1: 0.1, 2: 0.1})
    assert restoration.difference.mean == pytest.approx((0.15 + 0.1 + 0.0) / 3)
    low, high = restoration.difference.interval
    assert 0.0 <= low <= 0.25 / 3 <= high <= 0.15 + 1e-9


def test_without_the_control_there_is_no_difference() -> None:
    (_, restoration) = summarise(
        [run("scratch", 1, 0), run("restoration", 1, 0)],
        {"restoration_7patients_1_0": score(a=0.6)},
        {"restoration": "scratch"},
    )
    assert restoration.difference is None
    assert restoration.mean == pytest.approx(0.6)
    assert math.isnan(restoration.spread)


def test_labels_needed() -> None:
    curve = [(2.0, 0.4), (8.0, 0.6), (32.0, 0.7)]
    assert labels_needed(curve, 0.5) == (pytest.approx(4), "")
    assert labels_needed(curve, 0.65) == (pytest.approx(16), "")
    assert labels_needed(curve, 0.6) == (pytest.approx(8), "")
    assert labels_needed(curve, 0.3) == (2.0, "<")
    assert labels_needed(curve, 0.8) == (32.0, ">")
