"""Self-training after the runs of a study: python self_training.py STUDY UNLABELLED FIRST_ID RECIPE [RECIPE …].

STUDY: folder of a finished study with draws of labelled patients, on the CPU. UNLABELLED: id of a data set with the images that get
pseudo-labels. FIRST_ID: of the pseudo-labelled data sets, one for each run of the recipes (`scratch` is one too); ids that follow are
used. Each run of the study with the fewest steps is the teacher of one run that starts from the same weights and has as many steps
again, half of each batch pseudo-labelled. Prints Dice before and after, and differences with the intervals of `nnssl_plugin study`,
also to the runs of twice the steps where the study has them. Goes on where it was interrupted. Needs nnU-Net's variables, and
nnUNet_extTrainer for the plugin's trainers.
"""

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.environment import folder_of
from nnssl_plugin.study.scores import score_of, value_of
from nnssl_plugin.study.statistics import Pair, difference_of

MEASURE = ("WT", "Dice")


def command(*arguments: object) -> None:
    """A command of nnU-Net's or ours, from the environment of this Python."""
    program, *rest = map(str, arguments)
    subprocess.run([str(Path(sys.executable).with_name(program)), *rest], check=True, stdout=subprocess.DEVNULL)


def fold_folder(study: Mapping[str, Any], run: Mapping[str, Any]) -> Path:
    """Where nnU-Net puts a run."""
    name = f"{run['trainer']}__{run['plans']}__{study['configuration']}"
    return folder_of("nnUNet_results") / study["dataset"] / name / f"fold_{run['fold']}"


def self_trained(study: Mapping[str, Any], run: Mapping[str, Any], unlabelled: str, number: int) -> Path:
    """Result file of the run that the teacher's pseudo-labels were trained on in; made unless it is there."""
    dataset, configuration, plans = study["dataset"], study["configuration"], f"{run['plans']}_self"
    trainer = {"trainer": "SSLSelfTrainTrainer", "plans": plans, "fold": run["fold"]}
    result = fold_folder(study, trainer) / "validation" / f"{study['evaluation']}.json"
    if result.is_file():
        return result
    target = dataset[7:10]
    command(
        "nnssl_plugin",
        "pseudo-label",
        "-m",
        fold_folder(study, run),
        "--cases-of",
        unlabelled,
        "-d",
        number,
        "-device",
        "cpu",
    )
    command(
        "nnssl_plugin",
        "align",
        "--pretrain",
        number,
        "--target",
        target,
        "-p",
        run["source"],
        "-c",
        configuration,
        "-np",
        1,
    )
    setting = f"finetuning.pseudo_labels={number}"
    command("nnssl_plugin", "plan", "-d", target, "-p", run["plans"], "-o", plans, "--overwrite", "--set", setting)
    start: list[object] = []
    if run["pretraining"]:
        first = next(one for one in study["runs"] if one["name"] == run["pretraining"])
        start = ["-pretrained_weights", fold_folder(study, first) / "checkpoint_final.pth"]
    command(
        "nnUNetv2_train",
        target,
        configuration,
        run["fold"],
        "-p",
        plans,
        "-tr",
        trainer["trainer"],
        "-device",
        "cpu",
        *start,
    )
    command("nnssl_plugin", "evaluate", study["evaluation"], result.parent, "-o", result)
    return result


def said(title: str, ours: Mapping[int, Any], theirs: Mapping[int, Any]) -> None:
    """Mean over draws of both, and what the difference is worth."""
    pairs = [
        Pair(draw, None, score_of({0: ours[draw]}, *MEASURE), score_of({0: theirs[draw]}, *MEASURE)) for draw in ours
    ]  # type: ignore[arg-type]
    found = difference_of("", pairs, lower_is_better=False)
    if found is not None:
        low, high = found.interval
        draws = " ".join(f"{value:+.3f}" for value in found.draws.values())
        print(f"{title}: {found.mean:+.3f} ({low:+.3f} to {high:+.3f}; p {found.p:.4f}); by draw {draws}")


def mean(results: Iterable[Mapping[str, Any]]) -> float:
    """Over draws, of the mean over cases."""
    scores = [score_of({0: one}, *MEASURE) for one in results]
    return float(np.mean([value_of(score) for score in scores if score is not None]))


def main(folder: Path, unlabelled: str, first_id: int, recipes: list[str]) -> None:
    """Run what is missing, and print the table."""
    study = read_json(folder / "study.json")
    tuned = [run for run in study["runs"] if run["labels"]]
    budget = min(run["budget"] for run in tuned)
    before, after, longer = ({recipe: {} for recipe in recipes} for _ in range(3))  # type: ignore[var-annotated]
    number = first_id
    for recipe in recipes:
        for run in [one for one in tuned if one["recipe"] == recipe]:
            evaluation = folder / "evaluation" / f"{run['name']}.json"
            if run["budget"] == budget:
                print(f"{run['name']}: pseudo-labels {number}", flush=True)
                before[recipe][run["draw"]] = read_json(evaluation)
                after[recipe][run["draw"]] = read_json(self_trained(study, run, unlabelled, number))
                number += 1
            elif run["budget"] == 2 * budget and evaluation.is_file():
                longer[recipe][run["draw"]] = read_json(evaluation)
    for recipe in recipes:
        print(
            f"\n{recipe}: {budget} steps {mean(before[recipe].values()):.3f}, then {budget} of self-training {mean(after[recipe].values()):.3f}"
        )
        said("  self-training against its teacher", after[recipe], before[recipe])
        if longer[recipe]:
            print(f"  {2 * budget} steps without self-training {mean(longer[recipe].values()):.3f}")
            said(f"  self-training against {2 * budget} steps", after[recipe], longer[recipe])
    for recipe in recipes[1:]:
        said(f"{recipe} against {recipes[0]}, both self-trained", after[recipe], after[recipes[0]])
        said(f"{recipe} self-trained against {recipes[0]} without", after[recipe], before[recipes[0]])


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4:])
