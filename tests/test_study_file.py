from pathlib import Path

import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.study.label_folds import LabelFold
from nnssl_plugin.study.run import runs_of
from nnssl_plugin.study.study_file import load_study

STUDY = """
name: tiny
dataset: 901
configuration: 3d_fullres
plans: Tiny
evaluation: regions
plan_options: --features 4 8
set: [finetuning.epochs=2]
labels:
  - {count: 1, seeds: [1, 2]}
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
    study = load_study(study_file(tmp_path))
    assert [labels.title for labels in study.labels] == ["1patients", "100percent"]
    assert study.control_of("restoration") == "scratch"
    assert study.control_of("small") == "scratch-small"
    assert study.schedules_of("restoration") == ["warmup", "steep"]
    assert study.schedules_of("small") == ["warmup"]
    assert study.assignments == ["finetuning.epochs=2"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("plan_options: --features 4 8", "plan_option: a", "unknown entry 'plan_option'; .* 'plan_options'"),
        ("seeds: [1, 2]}", "seed: [1, 2]}", r"unknown entry 'labels\.0\.seed'; .* 'seeds'"),
        ("scratch: {}", "scratch: {trainr: x}", r"unknown entry 'controls\.scratch\.trainr'; .* 'trainer'"),
        ("warmup: {}", "warmup: {sett: []}", r"unknown entry 'schedules\.warmup\.sett'; .* 'set'"),
        ("dataset: 901", "dataset: 9.5", "dataset"),
        ("count: 1,", "", "needs either 'fraction' or 'count'"),
        ("count: 1,", "count: 1, fraction: 0.5,", "needs either 'fraction' or 'count'"),
        ("fraction: 1,", "fraction: 1.2,", r"labels\.1\.fraction.*less than or equal to 1"),
        ("fraction: 1,", "count: 1,", "declares 1patients a second time"),
        ("seeds: [1, 2]", "seeds: [2, 2]", "a seed twice"),
        ("seeds: [1, 2]", "seeds: []", r"labels\.0\.seeds"),
        ("recipes: [scratch,", "recipes: [scrach,", r"labels\.1\.recipes names 'scrach'; declared are 'scratch'"),
        ("seeds: [1, 2]}", "seeds: [1, 2], schedules: [cold]}", r"labels\.0\.schedules names 'cold'"),
        ("control: scratch-small", "control: nothing", r"recipes\.small\.control names 'nothing'"),
        ("schedules: [warmup]", "schedules: [cold]", r"recipes\.small\.schedules names 'cold'"),
        ("schedules: [warmup]", "schedules: []", r"recipes\.small is fine-tuned by no schedule"),
        ("evaluation: regions", "evaluation: eyes", "evaluation"),
        ("name: tiny", "name: my__study", "name"),
        ("restoration: {set", "scratch: {set", "'scratch' is a recipe and a control"),
        ("--features 4 8", "--features 4 8 -o Other", "plan_options holds -o, which the study itself gives"),
        ("--features 4 8", "--features '4 8", "No closing quotation"),
        ("finetuning.epochs=2", "finetuning.epoch=2", "nearest known one is 'finetuning.epochs'"),
        ("slem.weight=0", "slem.weight=-1", r"recipes\.restoration\.set: .*slem\.weight"),
        (
            "finetuning.initial_lr=0.01",
            "finetuning.seed=3",
            r"schedules\.steep\.set: finetuning\.seed is given by labels",
        ),
        ("plans: Tiny", "folds: [0, 0]", "folds holds a fold twice"),
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
        load_study(study_file(tmp_path, STUDY.replace(old, new)))
    assert "tiny.yaml" in str(error.value)


def test_labels_may_name_recipes_and_schedules(tmp_path: Path) -> None:
    text = STUDY.replace("seeds: [1, 2]}", "seeds: [1], schedules: [steep]}")
    study = load_study(study_file(tmp_path, text))
    fold = LabelFold(0, 0, ("a",), ("b",), 1)
    runs = runs_of(study, {(0, labels.title, 1): fold for labels in study.labels}, {0: fold})
    assert [run.plans for run in runs if not run.is_pretraining] == [
        "tiny_scratch_1patients_seed1",
        "tiny_scratch-small_1patients_seed1",
        "tiny_restoration_steep_1patients_seed1",
        "tiny_scratch_100percent_seed1",
        "tiny_restoration_warmup_100percent_seed1",
        "tiny_restoration_steep_100percent_seed1",
    ]
    assert [run.arm for run in runs if run.is_pretraining] == ["restoration"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml cannot be read"):
        load_study(tmp_path / "nowhere.yaml")


def test_the_readmes_example_is_valid(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    study = load_study(study_file(tmp_path, readme.split("```yaml\n")[1].split("```")[0]))
    assert study.control_of("small") == "scratch-small"
    assert study.schedules_of("restoration") == ["warm-up", "stock"]
