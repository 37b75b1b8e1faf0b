import json
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic.dataclasses import dataclass

from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.settings import (
    Settings,
    known_settings,
    settings_from_dict,
    settings_from_plans,
    settings_with,
)
from nnssl_plugin.settings.validation import STRICT

DOCS = Path(__file__).parents[1] / "docs"


@cache
def settings_tables() -> dict[str, Any]:
    """The script that writes the tables."""
    return runpy.run_path(str(DOCS / "settings_tables.py"))


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
        "pretraining.objectives.region_contrast.text.model": "bert",
        "pretraining.objectives.region_contrast.stage_one": "checkpoint_final.pth",
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


def test_the_docs_list_every_setting_with_its_default() -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    for name, default in known_settings().items():
        shown = "none" if default is None else json.dumps(default)
        assert page.count(f"| `{name}` | {shown} |") == 1, name


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_the_tables_of_the_docs_are_those_of_the_settings(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert settings_tables()["filled"](text) == text, "run python docs/settings_tables.py"


def test_a_setting_without_a_description_is_named() -> None:
    @dataclass(frozen=True, config=STRICT)
    class Described:
        epochs: int = 3
        """How many,
        of these (docs/probe.md)."""
        rate: float = 0.5

    rows = settings_tables()["rows"](Described(), "some.")
    assert next(rows) == ("some.epochs", 3, "How many, of these (docs/probe.md)")
    with pytest.raises(ValueError, match=r"'some\.rate' has no description"):
        next(rows)


def test_a_table_of_unknown_settings_and_an_old_one() -> None:
    filled = settings_tables()["filled"]
    with pytest.raises(ValueError, match="no settings below 'nothing'"):
        filled("<!-- settings: nothing -->\n<!-- end of settings -->")
    old = "before\n<!-- settings: finetuning -->\n| `finetuning.gone` | 1 | |\n<!-- end of settings -->\nafter"
    new = filled(old)
    assert new.startswith("before\n")
    assert new.endswith("\nafter")
    assert "gone" not in new
    assert "| `finetuning.epochs` | 1000 | Epochs of the" in new
    assert filled(new) == new
