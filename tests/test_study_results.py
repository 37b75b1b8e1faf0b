import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from nnssl_plugin.study.result_tables import needed_table, reached_table, result_table, short_table
from nnssl_plugin.study.results import summarise, where_reached
from nnssl_plugin.study.scores import MeanScore, value_of
from nnssl_plugin.study.statistics import Pair, difference_of, holm


def run(recipe: str, draw: int | None, seed: int = 7, fold: int = 0, **others: Any) -> dict[str, Any]:
    schedule = "" if recipe == "scratch" else "warmup"
    entry = {
        "recipe": recipe,
        "schedule": schedule,
        "labels": "7patients",
        "patients": 7,
        "draw": draw,
        "seed": seed,
        "base_fold": fold,
        "budget": None,
        "steps": 100,
        "pretraining": "" if recipe == "scratch" else f"{recipe} pretrain",
        "pretraining_steps": [],
        "pretraining_seed": None if recipe == "scratch" else 5,
        **others,
    }
    name = "_".join(
        str(entry[key]) for key in ("recipe", "labels", "draw", "seed", "base_fold", "budget", "pretraining_steps")
    )
    return {"name": name, **entry}


def pretraining(recipe: str = "restoration", steps: int = 2000) -> dict[str, Any]:
    return {"name": f"{recipe} pretrain", "labels": "", "steps": steps, "recipe": recipe, "schedule": ""}


def score(**dice: float | None) -> dict[str, Any]:
    return {"mean": {"WT": {"Dice": 0.0}}, "cases": {case: {"WT": {"Dice": value}} for case, value in dice.items()}}


def study(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"runs": list(runs), "controls": {"restoration": "scratch", "slem": "scratch"}}


def test_means_spread_and_paired_differences() -> None:
    """Two draws, two folds whose cases have the same names; one score is undefined, one run is missing."""
    runs = [run(recipe, draw, fold=fold) for recipe in ("scratch", "restoration") for draw in (1, 2) for fold in (0, 1)]
    names = {(one["recipe"], one["draw"], one["base_fold"]): one["name"] for one in runs}
    scores = {
        names["scratch", 1, 0]: score(a=0.5, b=0.7),
        names["scratch", 1, 1]: score(a=0.3, b=0.1),
        names["scratch", 2, 0]: score(a=0.6, b=0.6),
        names["restoration", 1, 0]: score(a=0.6, b=0.9),
        names["restoration", 1, 1]: score(a=0.3, b=None),
        names["restoration", 2, 0]: score(a=0.8, b=0.6),
    }
    scratch, restoration = summarise(study(pretraining(), *runs), scores)
    assert (scratch.method, restoration.method) == ("scratch", "restoration, warmup")
    assert scratch.draws == pytest.approx({1: 0.4, 2: 0.6})
    assert scratch.mean == pytest.approx(0.5)
    assert scratch.spread_of_draws == pytest.approx(math.sqrt(0.02))
    assert (scratch.cases, scratch.finished, scratch.declared) == (4, 3, 4)
    assert scratch.difference is None
    assert restoration.draws == pytest.approx({1: 0.6, 2: 0.7})
    assert (restoration.cases, restoration.finished, restoration.declared) == (3, 3, 4)
    assert restoration.pretraining_steps == 2000
    # Draw 1: fold 0 +0.1 and +0.2, fold 1 a 0 (b is undefined); draw 2: +0.2 and 0.
    assert restoration.difference is not None
    assert restoration.difference.draws == pytest.approx({1: 0.1, 2: 0.1})
    assert restoration.difference.mean == pytest.approx(0.1)
    assert restoration.difference.better == 2


def test_seeds_of_a_draw_are_averaged_and_their_spread_is_apart() -> None:
    runs = [run(recipe, draw, seed) for recipe in ("scratch", "restoration") for draw in (1, 2) for seed in (7, 8)]
    values = [0.1, 0.3, 0.5, 0.9, 0.2, 0.4, 0.6, 0.8]
    scores = {one["name"]: score(a=value) for one, value in zip(runs, values, strict=True)}
    scratch, restoration = summarise(study(pretraining(), *runs), scores)
    assert scratch.draws == pytest.approx({1: 0.2, 2: 0.7})
    # Variances of 0.1, 0.3 and of 0.5, 0.9.
    assert scratch.spread_of_seeds == pytest.approx(math.sqrt((0.02 + 0.08) / 2))
    assert restoration.difference is not None
    assert restoration.difference.draws == pytest.approx({1: 0.1, 2: 0.0})
    assert restoration.difference.better == 1


def test_where_all_patients_are_labelled_seeds_take_the_place_of_draws() -> None:
    runs = [run(recipe, None, seed, labels="100percent") for recipe in ("scratch", "restoration") for seed in (7, 8)]
    values = [0.1, 0.3, 0.2, 0.4]
    scores = {one["name"]: score(a=value) for one, value in zip(runs, values, strict=True)}
    _, restoration = summarise(study(pretraining(), *runs), scores)
    assert restoration.difference is not None
    assert restoration.difference.draws == pytest.approx({7: 0.1, 8: 0.1})


def test_without_the_control_there_is_no_difference() -> None:
    ours = run("restoration", 1)
    (_, restoration) = summarise(study(pretraining(), run("scratch", 1), ours), {ours["name"]: score(a=0.6)})
    assert restoration.difference is None
    assert restoration.mean == pytest.approx(0.6)
    assert math.isnan(restoration.spread_of_draws)


def pairs(differences: np.ndarray, pretraining_seed: int | None = 5) -> list[Pair]:
    """Of `[draws, cases]`: ours is the difference, theirs is 0."""
    return [
        Pair(
            draw,
            pretraining_seed,
            MeanScore({(0, f"case{i:02}"): float(value) for i, value in enumerate(row)}),
            MeanScore({(0, f"case{i:02}"): 0.0 for i in range(len(row))}),
        )
        for draw, row in enumerate(differences)
    ]


def test_the_interval_holds_the_spread_of_draws_and_of_cases() -> None:
    """Against the spread of a mean that has both: draws and cases with effects of their own, many of each."""
    rng = np.random.default_rng(0)
    draws, cases = rng.normal(0, 0.3, 40)[:, None], rng.normal(0, 0.4, 30)[None, :]

    def width(values: np.ndarray) -> float:
        found = difference_of("scratch", pairs(values), False)
        assert found is not None
        return found.interval[1] - found.interval[0]

    of_draws = 2 * 1.96 * float(draws.std()) / math.sqrt(40)
    of_cases = 2 * 1.96 * float(cases.std()) / math.sqrt(30)
    assert width(draws + 0 * cases) == pytest.approx(of_draws, rel=0.08)
    assert width(0 * draws + cases) == pytest.approx(of_cases, rel=0.08)
    assert width(draws + cases) == pytest.approx(math.hypot(of_draws, of_cases), rel=0.08)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Studies of eight draws and twenty cases, of which nothing is true: the interval seldom leaves 0 out."""
    rng = np.random.default_rng(1)
    outside, studies = 0, 120
    for _ in range(studies):
        values = rng.normal(0, 0.1, (8, 1)) + rng.normal(0, 0.2, (1, 20)) + rng.normal(0, 0.1, (8, 20))
        found = difference_of("scratch", pairs(values), False)
        assert found is not None
        assert (found.p < 0.05) == (found.interval[0] > 0 or found.interval[1] < 0) or abs(found.p - 0.05) < 0.01
        outside += found.interval[0] > 0 or found.interval[1] < 0
    # A percentile bootstrap of eight draws is a little too narrow: below a tenth, well above none.
    assert binomtest(outside, studies, 0.08).pvalue > 0.01


def test_few_draws_have_no_p_value() -> None:
    """Two draws that agree prove little, however many cases they have."""
    for draws, known in ((2, False), (4, False), (5, True)):
        found = difference_of("scratch", pairs(np.full((draws, 30), 0.1)), False)
        assert found is not None
        assert math.isnan(found.p) is not known
        assert found.interval == pytest.approx((0.1, 0.1))


def test_better_is_lower_where_lower_is_better() -> None:
    found = difference_of("scratch", pairs(np.array([[-1.0, -2.0], [0.5, 0.5], [-0.1, 0.0]])), lower_is_better=True)
    assert found is not None
    assert found.better == 2
    assert found.mean == pytest.approx((-1.5 + 0.5 - 0.05) / 3)


def test_each_pretraining_is_told_apart() -> None:
    both = [*pairs(np.array([[0.1], [0.3]]), 5), *pairs(np.array([[0.5], [0.1]]), 6)]
    found = difference_of("scratch", both, False)
    assert found is not None
    assert found.pretrainings == pytest.approx({5: 0.2, 6: 0.3})
    assert found.draws == pytest.approx({0: 0.3, 1: 0.2})


def test_only_cases_that_both_have_count() -> None:
    ours = MeanScore({(0, "a"): 1.0, (0, "b"): 0.5})
    theirs = MeanScore({(0, "b"): 0.25, (0, "c"): 0.0})
    found = difference_of("scratch", [Pair(1, 5, ours, theirs)], False)
    assert found is not None
    assert found.mean == 0.25
    assert difference_of("scratch", [Pair(1, 5, ours, MeanScore({(0, "z"): 0.0}))], False) is None


def test_a_score_need_not_be_a_mean_over_cases() -> None:
    """As an area under the curve, say: here the largest value of a sample."""

    class Largest(MeanScore):
        def over(self, cases, weights):
            return np.where(weights > 0, [self.values[case] for case in cases], -np.inf).max(axis=1)

    ours = Largest({(0, "a"): 0.2, (0, "b"): 0.9})
    theirs = Largest({(0, "a"): 0.3, (0, "b"): 0.3})
    assert value_of(ours) == 0.9
    found = difference_of("scratch", [Pair(draw, 5, ours, theirs) for draw in (1, 2)], False)
    assert found is not None
    assert found.mean == pytest.approx(0.6)
    assert found.interval == pytest.approx((-0.1, 0.6))


def test_holm() -> None:
    # The example of the R documentation's p.adjust for three sorted p-values, and the order kept.
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_the_correction_is_over_recipes_at_the_same_labels_and_budget() -> None:
    runs = [
        run(recipe, draw, budget=budget, steps=budget)
        for recipe in ("scratch", "restoration", "slem")
        for draw in range(5)
        for budget in (100, 200)
    ]
    rng = np.random.default_rng(3)
    gain = {"scratch": 0.0, "restoration": 0.1, "slem": 0.02}
    scores = {
        one["name"]: score(**{f"c{i}": gain[one["recipe"]] + rng.normal(0, 0.05) for i in range(6)}) for one in runs
    }
    cells = summarise(study(pretraining(), pretraining("slem"), *runs), scores)
    for budget in (100, 200):
        found = [cell.difference for cell in cells if cell.budget == budget and cell.difference]
        assert [one.corrected_p for one in found] == pytest.approx(holm([one.p for one in found]))
        assert max(one.corrected_p / one.p for one in found) > 1


def curves() -> list:
    """Scratch .4 and .5 after 100 and 400 steps, restoration .5 and .6; two draws that differ by .02."""
    runs = [
        run(recipe, draw, budget=budget, steps=budget)
        for recipe in ("scratch", "restoration")
        for draw in (1, 2)
        for budget in (100, 400)
    ]
    dice = {("scratch", 100): 0.4, ("scratch", 400): 0.5, ("restoration", 100): 0.45, ("restoration", 400): 0.55}
    scores = {one["name"]: score(a=dice[one["recipe"], one["steps"]] + 0.01 * (-1) ** one["draw"]) for one in runs}
    return summarise(study(pretraining(), *runs), scores)


def test_the_step_at_which_scratchs_final_dice_is_reached() -> None:
    (row,) = [dict(zip(reached_table(curves()).header, row, strict=True)) for row in reached_table(curves()).rows]
    assert (row["recipe"], row["its Dice at the end"], row["its steps"]) == ("restoration, warmup", "0.5000", "400")
    # Half-way between .45 and .55, over the logarithm: 200 steps.
    assert (row["reached after"], row["share of its steps"]) == ("200", "0.50")


def test_pretraining_steps_are_a_factor() -> None:
    runs = [
        run("scratch", 1),
        run("scratch", 2),
        *(run("restoration", draw, pretraining_steps=steps) for draw in (1, 2) for steps in ([500], [2000])),
    ]
    scores = {one["name"]: score(a=0.5 + sum(one["pretraining_steps"]) / 10_000) for one in runs}
    cells = summarise(study(pretraining(), *runs), scores)
    assert {cell.pretraining_steps: round(cell.difference.mean, 6) for cell in cells if cell.difference} == {
        500: 0.05,
        2000: 0.2,
    }
    assert "pre-training steps" in short_table(cells).header


def test_tables_leave_out_what_is_the_same_everywhere() -> None:
    one = summarise(study(run("scratch", 1), run("scratch", 2)), {run("scratch", 1)["name"]: score(a=0.5)})
    assert "steps" in result_table(one).header
    assert "steps" not in short_table(one).header
    assert "steps" in short_table(curves()).header
    assert not needed_table(curves()).rows


def test_where_a_curve_reaches_a_score() -> None:
    curve = [(2.0, 0.4), (8.0, 0.6), (32.0, 0.7)]
    assert where_reached(curve, 0.5) == (pytest.approx(4), "")
    assert where_reached(curve, 0.65) == (pytest.approx(16), "")
    assert where_reached(curve, 0.6) == (pytest.approx(8), "")
    assert where_reached(curve, 0.3) == (2.0, "<")
    assert where_reached(curve, 0.8) == (32.0, ">")
