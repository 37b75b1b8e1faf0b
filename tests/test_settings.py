import json
from pathlib import Path

import pytest

from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.settings import (
    Settings,
    known_settings,
    settings_from_dict,
    settings_from_plans,
    settings_with,
)


def test_round_trip_through_json() -> None:
    settings = settings_with(Settings(), ["pretraining.epochs=3", "pretraining.datasets=[502]", "finetuning.seed=7"])
    again = settings_from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert (again.pretraining.epochs, again.pretraining.datasets, again.finetuning.seed) == (3, [502], 7)


def test_plans_without_settings_have_the_defaults() -> None:
    assert settings_from_plans({"plans_name": "nnUNetPlans"}) == Settings()


def test_assignments_keep_what_they_do_not_name() -> None:
    first = settings_with(Settings(), ["pretraining.objectives.slem.weight=0.5"])
    second = settings_with(first, ["pretraining.denormalization.mode=moments"])
    assert second.pretraining.objectives.slem.weight == 0.5
    assert second.pretraining.denormalization.mode == "moments"


def test_every_setting_that_is_none_can_be_set_to_none() -> None:
    """As the tables of settings print it; where None is not allowed it stays a word."""
    names = [name for name, default in known_settings().items() if default is None]
    assert "pretraining.seed" in names
    values = {
        "pretraining.crop_size": "[32, 32, 32]",
        "pretraining.objectives.slem.label_count": "16",
        "classification.cases_per_step": "2",
        "pretraining.objectives.report_contrast.text.model": "bert",
    }
    for name in names:
        changed = settings_with(Settings(), [f"{name}={values.get(name, 1)}"])
        assert known_settings(section=changed)[name] is not None
        assert settings_with(changed, [f"{name}=none"]) == Settings()
    with pytest.raises(InputError, match=r"pretraining\.epochs.*got 'none'"):
        settings_with(Settings(), ["pretraining.epochs=none"])


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("pretraining.epoch=3", "unknown setting 'pretraining.epoch'; the nearest known one is 'pretraining.epochs'"),
        ("pretraning.objectives.slem.gap=3", "'pretraining.objectives.slem.gap'"),
        ("pretraining.epochs=many", "'pretraining.epochs'.*got 'many'"),
        ("pretraining.epochs=2.5", "'pretraining.epochs'.*got 2.5"),
        ("pretraining.epochs=0", "greater than or equal to 1"),
        ("pretraining.objectives.slem.weight=-1", "greater than or equal to 0"),
        ("pretraining.objectives.slem.weight=Infinity", "slem.weight'.*finite"),
        ("pretraining.initial_lr=Infinity", "initial_lr'.*finite"),
        ("pretraining.denormalization.mode=affine", "'moments', 'local_moments' or 'quantile'"),
        ("pretraining.objectives=1", "unknown setting 'pretraining.objectives'"),
        ("pretraining.epochs", "name=value"),
    ],
)
def test_mistakes_are_named(assignment: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings_with(Settings(), [assignment])


def test_unknown_key_in_a_plans_file_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unknown setting 'finetuning\.initial_lrr'.*'finetuning\.initial_lr'"):
        settings_from_plans({"nnssl_plugin": {"finetuning": {"initial_lrr": 0.1}}})


def test_every_setting_has_a_name() -> None:
    assert {"pretraining.seed", "pretraining.objectives.contrastive.temperature", "finetuning.epochs"} <= set(
        known_settings()
    )


def test_readme_or_docs_list_every_setting_with_its_default() -> None:
    root = Path(__file__).parents[1]
    pages = [root / "README.md", *(root / "docs").glob("*.md")]
    readme = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    for name, default in known_settings().items():
        shown = "none" if default is None else json.dumps(default)
        assert f"| `{name}` | {shown} |" in readme
