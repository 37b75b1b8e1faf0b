import argparse
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import wilcoxon

from nnssl_plugin.commands import compare
from nnssl_plugin.errors import InputError


def write_result(path: Path, dice: dict[str, float | None], hd95: dict[str, float] | None = None, **others) -> Path:
    """A result of one region, WT."""
    cases = {case: {"WT": {"Dice": value, "HD95": (hd95 or {}).get(case, 1.0)}} for case, value in dice.items()}
    content = {
        "cases": cases,
        "mean": {"WT": {"Dice": 0.0, "HD95": 0.0}},
        "regions": {"WT": [1]},
        "problems": [],
        **others,
    }
    path.write_text(json.dumps(content))
    return path


def command(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    return compare.run(parser.parse_args([str(argument) for argument in arguments]))


def rows(path: Path) -> dict[tuple[str, str], dict]:
    return {(row["metric"], row["run"]): row for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Scratch, and a better run in two seeds; twelve cases."""
    rng = np.random.default_rng(0)
    scratch = {f"c{i:02d}": float(d) for i, d in enumerate(rng.uniform(0.3, 0.8, 12))}
    gains = dict(zip(scratch, rng.normal(0.05, 0.04, 12), strict=True))
    gains["c00"] = 0.0
    better = {case: scratch[case] + gain for case, gain in gains.items()}
    # Two seeds whose mean is `better`.
    return (
        write_result(tmp_path / "scratch.json", scratch, dict.fromkeys(scratch, 8.0)),
        write_result(tmp_path / "one.json", {c: d + 0.01 for c, d in better.items()}, dict.fromkeys(scratch, 6.0)),
        write_result(tmp_path / "two.json", {c: d - 0.01 for c, d in better.items()}, dict.fromkeys(scratch, 5.0)),
    )


def scores(path: Path) -> np.ndarray:
    return np.array(
        [case["WT"]["Dice"] for _, case in sorted(json.loads(path.read_text(encoding="utf-8"))["cases"].items())]
    )


def test_figures_are_those_of_scipy_and_numpy(runs, tmp_path: Path) -> None:
    scratch, one, two = runs
    output = tmp_path / "compared.json"
    assert command(f"scratch={scratch}", f"pre-trained={one},{two}", "-o", output) == 0
    row = rows(output)["Dice", "pre-trained"]
    difference = (scores(one) + scores(two)) / 2 - scores(scratch)
    assert row["difference"] == pytest.approx(difference.mean(), abs=1e-9)
    assert row["mean"] == pytest.approx((scores(one) + scores(two)).mean() / 2, abs=1e-9)
    assert row["seeds"] == pytest.approx([scores(one).mean(), scores(two).mean()])
    rounded = np.where(np.abs(difference) < 1e-12, 0, difference)
    assert row["p_value"] == pytest.approx(wilcoxon(rounded).pvalue, rel=0.01)
    wins, losses = int((rounded > 0).sum()), int((rounded < 0).sum())
    assert row["win_tie_loss"] == [wins, 1, losses]
    low, high = row["interval"]
    draws = np.random.default_rng(1).choice(difference, (20_000, 12)).mean(axis=1)
    assert (low, high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=0.003)
    # Of distances, less is better.
    distance = rows(output)["HD95", "pre-trained"]
    assert (distance["difference"], distance["win_tie_loss"]) == (-2.5, [12, 0, 0])
    assert rows(output)["Dice", "scratch"]["difference"] is None


def test_a_run_against_itself(runs, tmp_path: Path) -> None:
    command(f"a={runs[0]}", f"b={runs[0]}", "-o", tmp_path / "o.json")
    row = rows(tmp_path / "o.json")["Dice", "b"]
    assert (row["difference"], row["p_value"], row["win_tie_loss"]) == (0, 1, [0, 12, 0])


def test_seeds_in_another_order_are_no_difference(tmp_path: Path) -> None:
    files = [
        write_result(
            tmp_path / f"{seed}.json",
            dict(zip("abcdefghij", np.random.default_rng(seed).uniform(0, 1, 10), strict=True)),
        )
        for seed in range(3)
    ]
    one, other = (",".join(map(str, order)) for order in (files, files[::-1]))
    command(f"one={one}", f"other={other}", "-o", tmp_path / "o.json")
    assert rows(tmp_path / "o.json")["Dice", "other"]["win_tie_loss"] == [0, 10, 0]


def test_all_formats_hold_the_same_rows(runs, tmp_path: Path) -> None:
    output = tmp_path / "o.json"
    command(*runs, "-o", output)
    row = rows(output)["Dice", "one.json"]
    for ending in ("csv", "md", "tex", "html"):
        text = output.with_suffix(f".{ending}").read_text(encoding="utf-8")
        assert f"{row['mean']:.4f}" in text
        assert "/".join(map(str, row["win_tie_loss"])) in text


def test_unnamed_runs_are_called_by_what_their_paths_do_not_share(runs, tmp_path: Path) -> None:
    folders = []
    for trainer in ("lr=0.01", "Finetune"):
        folders.append(tmp_path / trainer / "fold_0" / "validation")
        folders[-1].mkdir(parents=True)
        (folders[-1] / "brats.json").write_text(runs[0].read_text(encoding="utf-8"))
    command(*folders, "-o", tmp_path / "o.json")
    assert [run for _, run in rows(tmp_path / "o.json")][:2] == ["lr=0.01", "Finetune"]


def test_different_cases_are_refused_unless_intersected(runs, tmp_path: Path, capsys) -> None:
    fewer = write_result(tmp_path / "fewer.json", {"c01": 0.5, "c02": 0.5, "other": 0.1})
    with pytest.raises(InputError, match=r"scratch\.json lacks other; .*fewer\.json lacks c00, c03.*--intersect"):
        command(runs[0], fewer)
    output = tmp_path / "o.json"
    assert command(runs[0], fewer, "--intersect", "-o", output) == 0
    content = json.loads(output.read_text(encoding="utf-8"))
    assert content["cases"] == ["c01", "c02"]
    assert len(content["left out"]) == 11
    assert "11 cases" in capsys.readouterr().out
    assert rows(output)["Dice", "fewer.json"]["cases"] == 2


def test_results_whose_metrics_are_defined_differently_are_refused(runs, tmp_path: Path) -> None:
    """Those of 0.2.0 say no version; among themselves they are compared."""
    dice = json.loads(runs[0].read_text(encoding="utf-8"))["cases"]
    new = write_result(
        tmp_path / "new.json", {case: one["WT"]["Dice"] for case, one in dice.items()}, metrics_version=2
    )
    for arguments in ([runs[0], new], [new, runs[0]], [f"a={new}", f"b={new},{runs[0]}"]):
        with pytest.raises(
            InputError, match=r"HD95, ASSD and MSSD differently; run .* predictions of \S*scratch\.json$"
        ):
            command(*arguments)
    assert command(f"a={new}", f"b={new}") == 0
    assert command(runs[0], runs[1]) == 0


def test_seeds_of_a_run_must_have_the_same_cases(runs, tmp_path: Path) -> None:
    fewer = write_result(tmp_path / "fewer.json", {"c01": 0.5})
    with pytest.raises(InputError, match=r"fewer\.json lacks c00"):
        command(f"a={runs[0]}", f"b={runs[1]},{fewer}")


def test_undefined_scores_are_left_out_in_pairs(tmp_path: Path) -> None:
    first = write_result(tmp_path / "first.json", {"a": 0.5, "b": None, "c": 0.5})
    second = write_result(tmp_path / "second.json", {"a": 0.6, "b": 0.9, "c": 0.7})
    command(f"first={first}", f"second={second}", "-o", tmp_path / "o.json")
    row = rows(tmp_path / "o.json")["Dice", "second"]
    assert row["cases"] == 2
    assert math.isclose(float(row["difference"]), 0.15)


def test_a_folder_with_a_result_is_a_run(runs, tmp_path: Path) -> None:
    folder = tmp_path / "validation"
    folder.mkdir()
    with pytest.raises(InputError, match="no result of nnssl_plugin evaluate"):
        command(runs[0], folder)
    (folder / "brats.json").write_text(runs[1].read_text(encoding="utf-8"))
    assert command(runs[0], folder) == 0
    (folder / "regions.json").write_text(runs[1].read_text(encoding="utf-8"))
    with pytest.raises(InputError, match="several results"):
        command(runs[0], folder)


def test_what_is_no_comparable_result_is_named(runs, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "else.json").write_text("[]")
    problem = write_result(tmp_path / "problem.json", {"c00": 1.0}, problems=["c01: no prediction"])
    other = write_result(tmp_path / "other.json", {"c00": 1.0}, regions={"liver": [1]})
    none = write_result(tmp_path / "none.json", {"z": 1.0})
    values = write_result(tmp_path / "values.json", {"c00": 1.0}, regions={"WT": [1, 4]})
    infinite = write_result(tmp_path / "infinite.json", {"c00": math.inf})
    empty = write_result(tmp_path / "empty.json", {})
    for arguments, message in (
        ([runs[0]], "alone cannot be compared"),
        ([runs[0], tmp_path / "nowhere.json"], r"nowhere\.json cannot be read"),
        ([runs[0], tmp_path / "broken.json"], r"broken\.json cannot be read"),
        ([runs[0], tmp_path / "else.json"], r"else\.json is not a result"),
        ([runs[0], problem], r"problem\.json has no score for 1 cases, first: c01: no prediction"),
        ([runs[0], other], r"other\.json has the regions liver"),
        ([runs[0], values], r"values\.json has the regions WT \(1\+4\)"),
        ([runs[0], infinite], r"infinite\.json: Dice of WT in c00 is inf, not a number"),
        ([runs[0], empty], r"empty\.json is not a result .* or has no case"),
        ([runs[0], none, "--intersect"], "no case in common"),
        ([f"a={runs[0]}", f"a={runs[1]}"], "the same name"),
        ([runs[0], f"b={runs[1]},{runs[1]}"], "twice"),
        ([runs[0], runs[1], "-o", tmp_path / "o.txt"], r"o\.txt"),
    ):
        with pytest.raises(InputError, match=message):
            command(*arguments)
