from pathlib import Path

import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.study.label_folds import LabelFold, StudyFolds
from nnssl_plugin.study.run import Run, runs_of
from nnssl_plugin.study.study_file import StudyFile

STUDY = """
name: tiny
dataset: 901
configuration: 3d_fullres
plans: Tiny
evaluation: regions
plan_options: --features 4 8
set: [finetuning.epochs=2]
pretraining_seeds: [5]
labels:
  - {count: 1, draws: [1, 2], seeds: [7]}
  - {fraction: 1, seeds: [1], recipes: [scratch, restoration]}
controls:
  scratch: {}
  scratch-small: {plan_options: --features 2 4}
recipes:
  restoration: {set: [pretraining.objectives.slem.weight=0]}
  small: {plan_options: --features 2 4, control: scratch-small, schedules: [warmup]}
schedules:
  warmup: {}
  steep: {set: [finetuning.initial_lr=0.01]}
"""


def study_file(folder: Path, text: str = STUDY) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(text)
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    study = StudyFile(study_file(tmp_path)).study
    assert [labels.title for labels in study.labels] == ["1patients", "100percent"]
    assert study.control_of("restoration") == "scratch"
    assert study.control_of("small") == "scratch-small"
    assert study.schedules_of("restoration") == ["warmup", "steep"]
    assert study.schedules_of("small") == ["warmup"]
    assert study.assignments == ["finetuning.epochs=2"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("plan_options: --features 4 8", "plan_option: a", "line 7: plan_option: unknown entry; .* 'plan_options'"),
        ("seeds: [7]}", "seed: [7]}", r"labels\.0\.seed: unknown entry; .* 'seeds'"),
        ("scratch: {}", "scratch: {trainr: x}", r"line 14: controls\.scratch\.trainr: unknown entry; .* 'trainer'"),
        ("warmup: {}", "warmup: {sett: []}", r"line 20: schedules\.warmup\.sett: unknown entry; .* 'set'"),
        ("dataset: 901", "dataset: 9.5", "dataset"),
        ("count: 1,", "", "needs either 'fraction' or 'count'"),
        ("count: 1,", "count: 1, fraction: 0.5,", "needs either 'fraction' or 'count'"),
        ("fraction: 1,", "fraction: 1.2,", r"labels\.1\.fraction.*less than or equal to 1"),
        ("fraction: 1,", "count: 1,", "declares 1patients a second time"),
        ("draws: [1, 2]", "draws: [2, 2]", r"line 11: labels\.0\.draws: holds a value twice: 2, 2"),
        ("seeds: [7]", "seeds: [7, 7]", r"labels\.0\.seeds: holds a value twice"),
        ("seeds: [7]", "seeds: []", r"labels\.0\.seeds"),
        (
            "recipes: [scratch,",
            "recipes: [scrach,",
            r"line 12: labels\.1\.recipes: names 'scrach'; declared are 'scratch'",
        ),
        ("seeds: [7]}", "seeds: [7], schedules: [cold]}", r"labels\.0\.schedules: names 'cold'"),
        ("control: scratch-small", "control: nothing", r"recipes\.small\.control: names 'nothing'"),
        ("schedules: [warmup]", "schedules: [cold]", r"recipes\.small\.schedules: names 'cold'"),
        ("schedules: [warmup]", "schedules: []", r"recipes\.small: is fine-tuned by no schedule"),
        ("evaluation: regions", "evaluation: eyes", "evaluation"),
        ("name: tiny", "name: my__study", "name"),
        ("restoration: {set", "scratch: {set", "'scratch' is a recipe and a control"),
        ("--features 4 8", "--features 4 8 -o Other", "line 7: plan_options: holds -o, which the study itself gives"),
        ("--features 4 8", "--features '4 8", "No closing quotation"),
        ("finetuning.epochs=2", "finetuning.epoch=2", "nearest known one is 'finetuning.epochs'"),
        ("slem.weight=0", "slem.weight=-1", r"line 17: recipes\.restoration\.set\.0: .*slem\.weight"),
        (
            "finetuning.initial_lr=0.01",
            "finetuning.seed=3",
            r"line 21: schedules\.steep\.set\.0: finetuning\.seed is given by 'seeds' of the labels",
        ),
        ("plans: Tiny", "folds: [0, 0]", "folds: holds a value twice: 0, 0"),
        (STUDY, "- a list", "not a study file"),
        ("plans: Tiny", "plans: Tiny\nplans: Other", "the key 'plans' is there twice"),
        ("  warmup: {}", "  warmup: {}\n  warmup: {}", "the key 'warmup' is there twice"),
        (
            "recipes: [scratch, restoration]",
            "recipes: [restoration]",
            r"labels\.1: restoration is compared with scratch",
        ),
        ("recipes: [scratch, restoration]", "recipes: [small], schedules: [steep]", r"labels\.1: .* nothing to run"),
        (STUDY, "a: [", "cannot be read as YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in STUDY
    with pytest.raises(InputError, match=message) as error:
        StudyFile(study_file(tmp_path, STUDY.replace(old, new)))
    assert "tiny.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # In whichever `set` it is, on its own line.
        *(
            (old, f"{new}{setting}]", rf"line {line}: .*{setting.split('=')[0]} {told}")
            for old, new, line in (
                ("set: [finetuning.epochs=2]", "set: [finetuning.epochs=2, ", 8),
                ("scratch: {}", "scratch: {set: [", 14),
                ("slem.weight=0]", "slem.weight=0, ", 17),
                ("initial_lr=0.01]", "initial_lr=0.01, ", 21),
            )
            for setting, told in (
                ("finetuning.label_fraction=0.5", "is given by 'labels'"),
                ("finetuning.label_seed=1", "is given by 'draws'"),
                ("pretraining.seed=3", "is given by 'pretraining_seeds'"),
                ("finetuning.seed=3", "is given by 'seeds'"),
            )
        ),
        (
            "draws: [1, 2], ",
            "",
            r"line 11: labels\.0: 'draws' are missing.* draws: \[0, 1, 2, 3, 4\] and seeds: \[0, 1\]",
        ),
        ("draws: [1, 2]", "draws: [1]", r"line 11: labels\.0: one draw only"),
        ("fraction: 1, ", "fraction: 1, draws: [1, 2], ", r"line 12: labels\.1: all patients are labelled"),
        (
            "evaluation: regions",
            "evaluation: regions\nbudgets: [100, 200]",
            r"line 9: set\.0: finetuning\.epochs is given by",
        ),
        ("evaluation: regions", "evaluation: regions\nbudgets: [100, 100]", r"line 7: budgets: holds a value twice"),
        (
            "set: [finetuning.epochs=2]",
            "budgets: [100]\nschedules: {warmup: {}, steep: {trainer: nnUNetTrainer_5epochs}}",
            r"line 9: schedules\.steep\.trainer: nnUNetTrainer_5epochs has a length of its own",
        ),
        ("--features 4 8", "--feature-maps 4 8", r"line 7: plan_options: of nnssl_plugin plan: unrecognized arguments"),
    ],
)
def test_what_would_spoil_the_comparison_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in STUDY
    text = STUDY.replace(old, new)
    if new.startswith("scratch: {set"):
        text = text.replace(new, new + "}")
    if "schedules:" in new:
        text = text[: text.rindex("schedules:")]
    with pytest.raises(InputError, match=message):
        StudyFile(study_file(tmp_path, text))


PATIENTS = """plans: Tiny
patients:
  development: [a, b]
  test:
    - c
    - d
  training: [e, f]"""


def test_patients_may_be_declared(tmp_path: Path) -> None:
    patients = StudyFile(study_file(tmp_path, STUDY.replace("plans: Tiny", PATIENTS))).study.patients
    assert patients is not None
    assert (patients.development, patients.test, patients.training) == (["a", "b"], ["c", "d"], ["e", "f"])
    assert patients.scored == "development"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[e, f]",
            "[e, d]",
            r"line 11: patients\.training\.1: d is a test patient and would be labelled and pre-trained on",
        ),
        ("[e, f]", "[b, f]", r"patients\.training\.0: b is a development patient and would be labelled"),
        ("[a, b]", "[a, c]", r"line 7: patients\.development\.1: c is a test patient and would be chosen on"),
        ("    - d", "    - c", r"patients\.test: holds a value twice: c, c"),
        ("[a, b]", "[]", r"line 6: patients: 'scored: development' needs patients under 'development'"),
        ("plans: Tiny", "plans: Tiny\nfolds: [0]", r"line 6: folds: .*leave 'folds' out"),
        ("    - d", "    - 7", r"line 10: patients\.test\.1: .* string"),
    ],
)
def test_patients_are_either_trained_on_or_scored(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in PATIENTS
    with pytest.raises(InputError, match=message):
        StudyFile(study_file(tmp_path, STUDY.replace("plans: Tiny", PATIENTS.replace(old, new))))


def runs(folder: Path, text: str) -> list[Run]:
    study = StudyFile(study_file(folder, text)).study
    fold = LabelFold(0, 0, ("a",), ("b",), 1)
    keys = [(0, labels.title, draw) for labels in study.labels for draw in labels.all_draws]
    return runs_of(study, StudyFolds({0: fold}, dict.fromkeys(keys, fold)))


def test_labels_may_name_recipes_and_schedules(tmp_path: Path) -> None:
    made = runs(tmp_path, STUDY.replace("seeds: [7]}", "seeds: [7], schedules: [steep]}"))
    assert [run.plans for run in made if not run.is_pretraining] == [
        *(
            f"tiny_{method}_1patients_draw{draw}_seed7"
            for draw in (1, 2)
            for method in ("scratch", "scratch-small", "restoration_steep")
        ),
        "tiny_scratch_100percent_seed1",
        "tiny_restoration_warmup_100percent_seed1",
        "tiny_restoration_steep_100percent_seed1",
    ]
    assert [run.recipe for run in made if run.is_pretraining] == ["restoration"]


def test_draws_and_seeds_are_two_factors_and_meet_every_pretraining(tmp_path: Path) -> None:
    text = STUDY.replace("pretraining_seeds: [5]", "pretraining_seeds: [5, 6]").replace("seeds: [7]", "seeds: [7, 8]")
    made = runs(tmp_path, text)
    assert [(run.recipe, run.settings[-1]) for run in made if run.is_pretraining] == [
        (recipe, f"pretraining.seed={seed}") for recipe in ("restoration", "small") for seed in (5, 6)
    ]
    small = {(run.draw, run.seed): run for run in made if run.recipe == "small" and not run.is_pretraining}
    assert {key: run.pretraining_seed for key, run in small.items()} == {(1, 7): 5, (1, 8): 6, (2, 7): 6, (2, 8): 5}
    assert small[2, 8].pretraining == "tiny_small_pretrain_seed5_fold0"
    assert all(run.settings[-1] == f"finetuning.seed={run.seed}" for run in small.values())
    scratch = [run for run in made if run.recipe == "scratch" and run.labels == "1patients"]
    assert sorted((run.draw, run.seed) for run in scratch) == sorted(small)
    assert {run.pretraining_seed for run in scratch} == {None}


def test_budgets_and_pretraining_steps_are_factors(tmp_path: Path) -> None:
    text = STUDY.replace("set: [finetuning.epochs=2]", "budgets: [100, 200]").replace(
        "  small: {", "  small: {pretraining_steps: [500, 1000], "
    )
    made = runs(tmp_path, text)
    one = [run.name for run in made if run.recipe in ("small", "scratch-small") and (run.draw, run.seed) == (1, 7)]
    assert one == [
        f"tiny_{method}"
        for budget in (100, 200)
        for method in (
            f"scratch-small_1patients_draw1_seed7_steps{budget}_fold0",
            f"small_warmup_1patients_draw1_seed7_steps{budget}_after500_fold0",
            f"small_warmup_1patients_draw1_seed7_steps{budget}_after1000_fold0",
        )
    ]
    (pretraining,) = (run for run in made if run.is_pretraining and run.recipe == "small")
    assert pretraining.pretraining_steps == (500, 1000)
    assert len({run.name for run in made}) == len(made)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml cannot be read"):
        StudyFile(tmp_path / "nowhere.yaml")


def test_the_documented_example_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "studies.md").read_text(encoding="utf-8")
    study = StudyFile(study_file(tmp_path, page.split("```yaml\n")[1].split("```")[0])).study
    assert study.control_of("small") == "scratch-small"
    assert study.schedules_of("restoration") == ["warm-up", "steep"]


@pytest.mark.parametrize(
    "file", sorted((Path(__file__).parents[1] / "docs" / "studies").glob("*.yaml")), ids=lambda f: f.name
)
def test_the_documented_studies_are_valid(file: Path) -> None:
    assert StudyFile(file).study.recipes
