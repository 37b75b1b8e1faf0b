"""Self-training after the finished runs of a study: python self_training.py STUDY STEPS FIRST_ID RECIPE [RECIPE …].

STUDY: folder of a study of segmentation with fold 0. Each of its runs of STEPS steps, of these recipes or controls, labels the patients that it was
neither trained nor scored on (data sets FIRST_ID and following), and a run with the same start weights, settings and steps is trained on labelled and
pseudo-labelled patients and scored on the same ones. Scores are in STUDY/self-training; what is there is not made again. Prints the mean Dice of the
first region, and differences with intervals over draws and cases.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from nnssl_plugin.cli import main as command
from nnssl_plugin.evaluation.evaluate_predictions import evaluate_predictions
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.study.scores import score_of, value_of
from nnssl_plugin.study.statistics import Pair, difference_of


def self_trained(study: dict[str, Any], run: dict[str, Any], number: int, scores: Path) -> None:
    """Label, train and score one run, unless it is scored, or the run before it is not."""
    if scores.is_file() or not (scores.parents[1] / "evaluation" / scores.name).is_file():
        return
    results = folder_of("nnUNet_results") / study["dataset"]
    data = [study["dataset"][7:10], "-p", run["plans"]]

    def fold_of(plans: str, trainer: str, fold: int) -> Path:
        return results / f"{trainer}__{plans}__{study['configuration']}" / f"fold_{fold}"

    def done(*words: object) -> None:
        assert command([str(word) for word in words]) == 0, words

    teacher = fold_of(run["plans"], run["trainer"], run["fold"])
    done("pseudo-label", "-m", teacher, "--cases-of", study["dataset"], "-d", number, "-device", "cpu")
    done("align", "--pretrain", number, "--target", *data, "-c", study["configuration"])
    plans, trainer = f"{run['plans']}_self", "SSLSelfTrainTrainer"
    done("plan", "-d", *data, "-o", plans, "--overwrite", "--set", f"finetuning.pseudo_labels={number}")
    train = ["nnUNetv2_train", study["dataset"], study["configuration"], run["fold"], "-tr", trainer, "-p", plans]
    if run["pretraining"]:
        (first,) = (one for one in study["runs"] if one["name"] == run["pretraining"])
        weights = fold_of(first["plans"], first["trainer"], first["fold"]) / "checkpoint_final.pth"
        train += ["-pretrained_weights", weights]
    subprocess.run([*map(str, train), "-device", "cpu"], check=True)
    predictions = fold_of(plans, trainer, run["fold"]) / "validation"
    evaluated, _ = evaluate_predictions(study["evaluation"], predictions, progress="")
    assert not evaluated["problems"], evaluated["problems"]
    write_json(evaluated, scores)


def table_of(study: dict[str, Any], folder: Path, runs: list[dict[str, Any]]) -> str:
    """Mean Dice before and after, and how they differ."""
    places = {"alone": "evaluation", "self-trained": "self-training"}
    evaluations = {
        (run["recipe"], run["draw"], run["seed"], how): json.loads(file.read_text())
        for run in runs
        for how, place in places.items()
        if (file := folder / place / f"{run['name']}.json").is_file()
    }
    region = next(iter(next(iter(evaluations.values()))["mean"]))
    scores: dict[Any, Any] = {key: score_of({0: one}, region, "Dice") for key, one in evaluations.items()}
    recipes = list(dict.fromkeys(run["recipe"] for run in runs))
    lines = [f"| {region} Dice | mean | by draw and seed |", "|---|---|---|"]
    for recipe in recipes:
        for how in places:
            values = [value_of(score) for key, score in sorted(scores.items()) if (key[0], key[3]) == (recipe, how)]
            lines.append(
                f"| {recipe}, {how} | {sum(values) / len(values):.3f} | {' '.join(f'{v:.3f}' for v in values)} |"
            )
    lines += ["", "| difference | mean | 95 % interval | p | draws better |", "|---|---|---|---|---|"]
    compared = [((recipe, "self-trained"), (recipe, "alone")) for recipe in recipes]
    compared += [((one, how), (recipes[0], how)) for one in recipes[1:] for how in places]
    for ours, theirs in compared:
        pairs = [
            Pair(draw, None, score, scores[theirs[0], draw, seed, theirs[1]])
            for (recipe, draw, seed, how), score in scores.items()
            if (recipe, how) == ours and (theirs[0], draw, seed, theirs[1]) in scores
        ]
        found = difference_of(", ".join(theirs), pairs, lower_is_better=False)
        assert found is not None
        low, high = found.interval
        lines.append(
            f"| {', '.join(ours)} against {found.control} | {found.mean:+.3f} | {low:+.3f} to {high:+.3f} | {found.p:.3f} | "
            f"{found.better} of {len(found.draws)} |"
        )
    return "\n".join(lines)


def main(folder: Path, steps: int, first: int, recipes: list[str]) -> None:
    """Do what is not done yet, and print the table."""
    study = read_json(folder / "study.json")
    runs = [run for run in study["runs"] if run["labels"] and run["budget"] == steps and run["recipe"] in recipes]
    (folder / "self-training").mkdir(exist_ok=True)
    runs.sort(key=lambda run: (run["draw"], run["seed"], recipes.index(run["recipe"])))
    for number, run in enumerate(runs, first):
        self_trained(study, run, number, folder / "self-training" / f"{run['name']}.json")
    runs.sort(key=lambda run: recipes.index(run["recipe"]))
    print(table_of(study, folder, runs))


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
