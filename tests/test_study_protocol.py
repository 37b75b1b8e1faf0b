"""Who is trained on, scored and chosen on; what is varied; what is said of it."""

import argparse
import csv
import json
from pathlib import Path

import pytest

from nnssl_plugin.commands import study as study_command
from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.settings import known_settings
from nnssl_plugin.study.curves import study_curves
from nnssl_plugin.study.results import summarise
from nnssl_plugin.study.scores import read_results
from nnssl_plugin.study.study_folder import read_study
from tests.study_commands import Commands, run, splits
from tests.synthetic import NAME
from tests.test_study_file import STUDY

PATIENTS = """plans: Tiny
patients:
  development: [case04]
  test: [case05]"""
DECLARED = STUDY.replace("plans: Tiny", PATIENTS)


def command(*arguments: object) -> int:
    """`nnssl_plugin study …`, with errors raised instead of printed."""
    parser = argparse.ArgumentParser()
    study_command.add_arguments(parser)
    return study_command.run(parser.parse_args([str(argument) for argument in arguments]))


def plans(commands: Commands, name: str) -> dict:
    return json.loads((commands.root / "nnUNet_preprocessed" / NAME / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("scored", "case"), [("development", "case04"), ("test", "case05")])
def test_nobody_who_is_scored_or_held_back_is_trained_on(commands: Commands, scored: str, case: str) -> None:
    before = splits(commands)
    assert run(commands, DECLARED.replace("test: [case05]", f"test: [case05]\n  scored: {scored}")) == 0
    after = splits(commands)
    assert after[: len(before)] == before
    trained = [call for call in commands.called if call[0] == "nnUNetv2_train"]
    folds = {call[call.index("-p") + 1]: after[int(call[3])] for call in trained}
    pretraining = folds["tiny_restoration_pretrain_seed5"]
    assert pretraining["train"] == ["case00", "case01", "case02", "case03"]
    # Of further data sets, pre-training leaves out the patients of these.
    assert pretraining["val"] == ["case04", "case05"]
    finetuned = [fold for name, fold in folds.items() if "pretrain_" not in name]
    assert {tuple(fold["val"]) for fold in finetuned} == {(case,)}
    assert all(set(fold["train"]) <= set(pretraining["train"]) for fold in finetuned)
    assert read_study(commands.root / "tiny")["scored"] == scored


def test_training_patients_may_be_named(commands: Commands) -> None:
    text = DECLARED.replace("test: [case05]", "test: [case05]\n  training: [case00, case02, case03]")
    assert run(commands, text) == 0
    runs = read_study(commands.root / "tiny")["runs"]
    assert {case for one in runs for case in one["cases"]} <= {"case00", "case02", "case03"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[case05]",
            "[case5]",
            r"tiny\.yaml, line 8: patients\.test\.0: no patient 'case5'; the nearest there is 'case0\d'",
        ),
        ("[case04]", "[case00, case01, case02, case03, case04]", "line 6: patients: .*no patient is left to train on"),
        ("set: [finetuning.epochs=2]", "budgets: [300]", "plans of .*: 300 steps are not whole epochs of 250 steps"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(commands: Commands, old: str, new: str, message: str) -> None:
    before = splits(commands)
    assert old in DECLARED
    with pytest.raises(InputError, match=message):
        run(commands, DECLARED.replace(old, new))
    assert splits(commands) == before
    assert not commands.called


def test_a_study_of_other_declared_patients_does_not_take_the_folds_for_its_own(commands: Commands) -> None:
    run(commands, DECLARED)
    first = splits(commands)
    run(commands, DECLARED)
    assert splits(commands) == first
    # Now scored: other folds, so that every run is trained anew.
    commands.called.clear()
    run(commands, DECLARED.replace("test: [case05]", "test: [case05]\n  scored: test"))
    assert splits(commands)[: len(first)] == first
    assert len([name for name in commands.trained() if "pretrain_" not in name]) == 13
    assert not [name for name in commands.trained() if "pretrain_" in name]


def test_budgets_are_schedules_of_their_own(commands: Commands, capsys) -> None:
    text = STUDY.replace("set: [finetuning.epochs=2]", "budgets: [500, 1000]").replace(
        "seeds: [1], recipes", "seeds: [1], budgets: [1000], recipes"
    )
    assert run(commands, text) == 0
    for steps, epochs in ((500, 2), (1000, 4)):
        for method in ("scratch", "restoration_warmup"):
            copy = plans(commands, f"tiny_{method}_1patients_draw1_seed7_steps{steps}")
            assert copy["nnssl_plugin"]["finetuning"]["epochs"] == epochs
    with (commands.root / "tiny" / "results.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert {(row["labels"], row["steps"]) for row in rows} == {
        ("1patients", "500"),
        ("1patients", "1000"),
        ("100percent", "1000"),
    }
    assert (commands.root / "tiny" / "steps_needed.csv").read_text().count("restoration, warmup") == 1
    page = (commands.root / "tiny" / "report.html").read_text()
    assert "Gain in Dice over fine-tuning steps" in page
    assert "Dice over labelled patients" in page


def test_more_labels_with_longer_schedules_are_a_curve_over_labels_alone(commands: Commands) -> None:
    text = STUDY.replace("set: [finetuning.epochs=2]", "budgets: [500]").replace(
        "seeds: [1], recipes", "seeds: [1], budgets: [1000], recipes"
    )
    assert run(commands, text) == 0
    folder = commands.root / "tiny"
    figures = dict(study_curves(summarise(read_study(folder), read_results(folder, read_study(folder)["runs"]))))
    assert set(figures) == {"Dice over labelled patients", "Gain in Dice over labelled patients"}
    ticks = [tick.get_text() for tick in figures["Dice over labelled patients"].axes[0].get_xticklabels()]
    assert ticks == ["1", "4"]


@pytest.mark.skipif("pretraining.keep" not in known_settings(), reason="pre-training keeps no weights on the way")
def test_weights_are_kept_on_the_way_and_each_is_fine_tuned_from(commands: Commands) -> None:
    text = STUDY.replace("set: [finetuning.epochs=2]", "set: [finetuning.epochs=2, pretraining.epochs=4]").replace(
        "  restoration: {", "  restoration: {pretraining_steps: [500, 1000], "
    )

    def train(call) -> int:
        code = Commands.train(commands, call)
        fold = next((commands.root / "nnUNet_results" / NAME).glob("*restoration_pretrain*/fold_*"))
        (fold / "checkpoint_epoch_2.pth").write_text("half-way")
        return code

    commands.train = train
    assert run(commands, text) == 0
    assert plans(commands, "tiny_restoration_pretrain_seed5")["nnssl_plugin"]["pretraining"]["keep"] == [2]
    weights = {
        call[call.index("-p") + 1]: Path(call[-1]).name for call in commands.called if "-pretrained_weights" in call
    }
    assert weights["tiny_restoration_warmup_1patients_draw1_seed7_after500"] == "checkpoint_epoch_2.pth"
    assert weights["tiny_restoration_warmup_1patients_draw1_seed7_after1000"] == "checkpoint_final.pth"
    page = (commands.root / "tiny" / "report.html").read_text()
    assert "Gain in Dice over pre-training steps" in page
    study = read_study(commands.root / "tiny")
    cells = summarise(study, read_results(commands.root / "tiny", study["runs"]))
    panel = dict(study_curves(cells))["Dice over pre-training steps"].axes[0]
    assert panel.get_title() == f"{cells[0].region}, 1 labelled patients"
    assert {line.get_label(): line.get_linestyle() for line in panel.get_lines()} == {
        "restoration, warmup": "-",
        "restoration, steep": "-",
        "scratch": "--",
    }


def test_what_differs_beside_the_weights_is_said(commands: Commands, capsys) -> None:
    text = STUDY.replace("set: [finetuning.epochs=2]", "set: [finetuning.epochs=2, finetuning.initial_lr=0.01]")
    text = text.replace("initial_lr=0.01]}", "initial_lr=0.02], trainer: SSLFinetuneSawtoothTrainer}")
    text = text.replace("control: scratch-small, ", "")
    run(commands, text.replace("finetuning.epochs=2", "finetuning.epochs=40"), dry_run=True)
    said = {
        line.split(" differs")[0]: line for line in capsys.readouterr().out.splitlines() if " differs from " in line
    }
    assert set(said) == {"restoration, steep", "small, warmup"}
    assert "trainer (SSLFinetuneSawtoothTrainer, SSLScratchTrainer)" in said["restoration, steep"]
    assert "finetuning.initial_lr (0.02, 0.01)" in said["restoration, steep"]
    assert "architecture.arch_kwargs.features_per_stage" in said["small, warmup"]
    assert "trainer" not in said["small, warmup"]


def test_equal_schedules_differ_in_nothing(commands: Commands, capsys) -> None:
    run(commands, STUDY, dry_run=True)
    said = [line.split(" differs")[0] for line in capsys.readouterr().out.splitlines() if " differs from " in line]
    assert said == ["restoration, steep"]


def test_the_page_says_what_differs(commands: Commands) -> None:
    run(commands, STUDY.replace("initial_lr=0.01", "initial_lr=0.02"))
    page = (commands.root / "tiny" / "report.html").read_text()
    assert (
        "restoration, steep differs from its control in more than the weights it starts from: finetuning.init" in page
    )


def test_numbers_of_steps_are_chosen_on_development_patients_alone(commands: Commands, capsys) -> None:
    text = DECLARED.replace("set: [finetuning.epochs=2]", "budgets: [500, 1000]")
    assert run(commands, text) == 0
    capsys.readouterr()
    assert command(commands.root / "tiny", "--choose") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    # Equal scores: the fewest steps. The methods are in the order of their Dice.
    assert next(row[:3] for row in rows if row[0] == "1patients") == ["1patients", "restoration,", "warmup"]
    assert all("500" in row for row in rows)
    assert "Best numbers of steps" in (commands.root / "tiny" / "report.html").read_text()


@pytest.mark.parametrize(("text", "who"), [(DECLARED + "\n", "test patients"), (STUDY, "does not declare")])
def test_nothing_is_chosen_on_others(commands: Commands, text: str, who: str) -> None:
    run(commands, text.replace("test: [case05]", "test: [case05]\n  scored: test"))
    with pytest.raises(InputError, match=f"{who}.*Choose on a study"):
        command(commands.root / "tiny", "--choose")
    assert "Best numbers of steps" not in (commands.root / "tiny" / "report.html").read_text()


def test_a_study_file_is_not_chosen_on(commands: Commands) -> None:
    run(commands, DECLARED, dry_run=True)
    with pytest.raises(InputError, match="--choose wants the folder"):
        command(commands.root / "tiny.yaml", "--choose")


def test_the_folder_of_a_study_of_version_0_2_0_is_rendered(commands: Commands, capsys) -> None:
    """There a recipe or control was called an arm, and a seed drew the labelled patients, too."""
    run(commands)
    folder = commands.root / "tiny"
    content = read_study(folder)
    old = []
    for entry in content["runs"]:
        entry = {**entry, "arm": entry["recipe"], "seed": entry["draw"] if entry["draw"] else entry["seed"]}
        for new in ("recipe", "draw", "budget", "pretraining_seed", "pretraining_steps"):
            del entry[new]
        old.append(entry)
    for new in ("scored", "differs"):
        del content[new]
    (folder / "study.json").write_text(json.dumps({**content, "runs": old}))
    capsys.readouterr()
    assert command(folder) == 0
    with (folder / "results.csv").open() as table:
        rows = {(row["labels"], row["recipe"]): row for row in csv.DictReader(table)}
    one = rows["1patients", "restoration, warmup"]
    assert (one["mean"], one["difference"], one["draws better"]) == ("0.7500", "+0.2000", "2 of 2")
    assert one["pre-training steps"] == "62500"
