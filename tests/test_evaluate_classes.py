import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, roc_auc_score

from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.class_scores import calibration_error, class_scores, positive_class
from nnssl_plugin.evaluation.evaluate_classes import bootstrap_weights, evaluate_classes
from nnssl_plugin.evaluation.predictions import Predictions, read_predictions, write_predictions
from nnssl_plugin.evaluation.weighted_class_measures import (
    weighted_accuracy,
    weighted_auc,
    weighted_balanced_accuracy,
    weighted_f1_macro,
)
from nnssl_plugin.study.class_score import ClassScore


def write(path: Path, probabilities: dict[str, list[float]], column: str = "grade", names=("2", "3")) -> Path:
    content = {case: {column: np.array(values)} for case, values in probabilities.items()}
    write_predictions(Predictions({column: tuple(names)}, content), path)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "cases.csv"
    path.write_text("case,patient,grade\n" + "".join(f"c{i},p{i // 2},{2 + i % 2}\n" for i in range(8)) + "c8,p9,\n")
    return path


GOOD = {f"c{i}": [0.2, 0.8] if i % 2 else [0.7, 0.3] for i in range(8)}


def test_predictions_come_back_as_they_were_written(tmp_path: Path) -> None:
    read = read_predictions(write(tmp_path / "a.csv", GOOD))
    assert read.columns == {"grade": ("2", "3")}
    assert read.predicted("c1", "grade") == "3"
    assert np.allclose(read.probabilities["c0"]["grade"], [0.7, 0.3])


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_weighted_measures_are_those_of_scikit_learn(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, probabilities = rng.integers(0, count, 40), rng.dirichlet(np.ones(count), 40).round(1)
    probabilities /= probabilities.sum(1, keepdims=True)
    weights = np.stack([np.ones(40), rng.integers(0, 4, 40)]).astype(float)
    predicted = probabilities.argmax(1)
    for row, sample in enumerate(weights):
        auc = np.mean([roc_auc_score(truth == k, probabilities[:, k], sample_weight=sample) for k in range(count)])
        assert weighted_auc(truth, probabilities, weights)[row] == pytest.approx(auc)
        ours = weighted_balanced_accuracy(truth, probabilities, weights)[row]
        assert ours == pytest.approx(balanced_accuracy_score(truth, predicted, sample_weight=sample))
        ours = weighted_accuracy(truth, probabilities, weights)[row]
        assert ours == pytest.approx(accuracy_score(truth, predicted, sample_weight=sample))
        ours = weighted_f1_macro(truth, probabilities, weights)[row]
        assert ours == pytest.approx(f1_score(truth, predicted, average="macro", sample_weight=sample, zero_division=0))


def test_a_sample_without_a_class_is_undefined() -> None:
    truth, probabilities = np.array([0, 1]), np.array([[0.9, 0.1], [0.2, 0.8]])
    assert np.isnan(weighted_auc(truth, probabilities, np.array([[2.0, 0.0]])))[0]


def test_calibration_error_by_hand() -> None:
    # Eight cases at 0.75, six of them right; two at 0.95, one right.
    probabilities = np.array([[0.75, 0.25]] * 8 + [[0.95, 0.05]] * 2)
    truth = np.array([0] * 6 + [1] * 2 + [0, 1])
    assert calibration_error(truth, probabilities) == pytest.approx(0.2 * 0.45)


def test_scores_of_a_perfect_and_a_constant_classifier() -> None:
    truth = np.array([0, 1, 1])
    perfect = class_scores(truth, np.eye(2)[truth], 0)
    assert perfect["AUC"] == perfect["accuracy"] == perfect["F1 macro"] == 1
    assert perfect["calibration error"] == 0
    constant = class_scores(truth, np.array([[0.4, 0.6]] * 3), 0)
    assert constant["AUC"] == constant["balanced accuracy"] == 0.5
    assert constant["F1 of the positive class"] == 0
    assert positive_class(truth, ("a", "b")) == 0


def test_folds_are_joined_and_seeds_averaged(tmp_path: Path, table: Path) -> None:
    first = write(tmp_path / "a.csv", {case: GOOD[case] for case in list(GOOD)[:4]})
    second = write(tmp_path / "b.csv", {case: GOOD[case] for case in list(GOOD)[4:]})
    folds = evaluate_classes([first, second], table, {})
    assert folds["columns"]["grade"]["cases"] == 8
    assert folds["columns"]["grade"]["scores"]["accuracy"] == 1
    assert folds["columns"]["grade"]["over_files"]["accuracy"] == {"mean": 1.0, "sd": 0.0}
    wrong = write(tmp_path / "c.csv", {case: values[::-1] for case, values in GOOD.items()})
    seeds = evaluate_classes([write(tmp_path / "d.csv", GOOD), wrong], table, {"grade": "2"})
    assert seeds["cases"]["c1"]["grade"]["probabilities"] == {"2": pytest.approx(0.5), "3": pytest.approx(0.5)}
    assert seeds["columns"]["grade"]["over_files"]["AUC"] == {"mean": 0.5, "sd": pytest.approx(np.sqrt(0.5))}
    assert seeds["columns"]["grade"]["majority"]["accuracy"] == 0.5
    # The case without a class is not missed.
    assert not seeds["not_predicted"]


def test_the_bootstrap_draws_whole_patients() -> None:
    weights = bootstrap_weights(["a", "a", "b", "c"])
    assert (weights[:, 0] == weights[:, 1]).all()
    assert ((weights[:, 0] + weights[:, 2] + weights[:, 3]) == 3).all()


def test_command_writes_tables_and_a_page(tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "a.csv", GOOD)
    assert main(["evaluate", "classes", str(file), "-g", str(table), "-o", str(tmp_path / "r.json")]) == 0
    assert "accuracy of always" in capsys.readouterr().out
    for ending in ("json", "csv", "md", "tex", "html"):
        assert (tmp_path / f"r.{ending}").stat().st_size
    part = write(tmp_path / "part.csv", {case: GOOD[case] for case in list(GOOD)[:6]})
    assert main(["evaluate", "classes", str(part), "-g", str(table), "-o", str(tmp_path / "p.json")]) == 1
    assert "2 cases" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no table of predictions"),
        ("case,grade\n", "no table of predictions"),
        ("case,grade,grade=2,grade=3\n", "has no case"),
        ("case,grade,grade=2,grade=3\nc0,2,0.5\n", "line 2: 3 cells"),
        ("case,grade,grade=2,grade=3\nc0,2,0.5,0.1\n", "sum to 1"),
        ("case,grade,grade=2,grade=3\nc0,2,nan,0.1\n", "sum to 1"),
        ("case,grade,grade=2,grade=3\nc0,2,much,0.1\n", "must be numbers"),
        ("case,grade,grade=2,grade=3\nc0,2,0.5,0.5\nc0,2,0.5,0.5\n", "is listed twice"),
        ("case,grade,grade=2,grade=3\nc77,2,0.5,0.5\n", "are not in"),
        ("case,grade,grade=2,grade=4\nc0,2,0.5,0.5\nc1,2,0.5,0.5\n", "the class '3', which no file predicts"),
        ("case,grade,grade=2,grade=3\nc0,2,0.5,0.5\nc2,2,0.5,0.5\n", "fewer than two classes"),
        ("case,gade,gade=2,gade=3\nc0,2,0.5,0.5\n", "has no column gade"),
    ],
)
def test_bad_predictions_are_named(tmp_path: Path, table: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        evaluate_classes([tmp_path / "a.csv"], table, {})


def test_comparison_is_paired(tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = {}
    for name, flipped in (("good", ()), ("worse", ("c0", "c3"))):
        content = {case: values[::-1] if case in flipped else values for case, values in GOOD.items()}
        file = write(tmp_path / f"{name}.csv", content)
        results[name] = str(tmp_path / f"{name}.json")
        assert main(["evaluate", "classes", str(file), "-g", str(table), "-o", results[name]]) == 0
    capsys.readouterr()
    output = tmp_path / "compared.json"
    assert main(["compare", f"good={results['good']}", f"worse={results['worse']}", "-o", str(output)]) == 0
    rows = {(row["score"], row["run"]): row for row in json.loads(output.read_text())["rows"]}
    accuracy = rows["accuracy", "worse"]
    assert accuracy["difference"] == "-0.250"
    assert (accuracy["only this right"], accuracy["only the first right"]) == ("0", "2")
    assert float(accuracy["McNemar p"]) == 0.5
    assert (tmp_path / "compared.html").stat().st_size
    assert main(["compare", results["good"], str(tmp_path / "good.csv")]) == 2
    assert "cannot be read as JSON" in capsys.readouterr().err


def test_a_studys_score_is_the_mean_over_folds() -> None:
    # Each fold ranks its cases right, but the second's probabilities lie lower.
    truth = {(0, "a"): 0, (0, "b"): 1, (1, "c"): 0, (1, "d"): 1, (2, "e"): 1}
    of_one = {(0, "a"): 0.7, (0, "b"): 0.9, (1, "c"): 0.1, (1, "d"): 0.3, (2, "e"): 0.5}
    score = ClassScore(truth, {case: [1 - p, p] for case, p in of_one.items()}, weighted_auc)
    assert score.over(score.cases, np.ones((1, 5))).tolist() == [1.0]
    only_a_class = np.array([[0.0, 0.0, 0.0, 1.0, 1.0]])
    assert np.isnan(score.over(score.cases, only_a_class)).all()
