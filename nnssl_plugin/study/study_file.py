"""What a study declares: a YAML file, validated."""

import difflib
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.settings import Settings, settings_with

# Names become parts of plans names, which nnU-Net splits at '__'.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
Assignments = Annotated[list[str], Field(alias="set")]


def _words(text: str) -> str:
    shlex.split(text)
    return text


# Of `nnssl_plugin plan`, as they would be typed.
Options = Annotated[str, AfterValidator(_words)]
Whole = Annotated[int, Field(ge=0)]
RESERVED_OPTIONS = {"-d", "-p", "-o", "--set", "--overwrite"}


class Section(BaseModel):
    """A part of the file; unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Labels(Section):
    """How many labelled patients of the fold to train on.

    `recipes`: names of recipes and controls, `schedules`: names of schedules, by default all. A seed decides which
    patients and, as `finetuning.seed`, the initialisation.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    seeds: Annotated[list[Whole], Field(min_length=1)]
    recipes: list[Name] | None = None
    schedules: list[Name] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> "Labels":
        if (self.fraction is None) == (self.count is None):
            raise ValueError("needs either 'fraction' or 'count'")
        return self

    @property
    def title(self) -> str:
        """In names of plans and in tables."""
        return f"{self.count}patients" if self.count else f"{100 * (self.fraction or 0):g}percent"


class Control(Section):
    """Training from scratch. `plan_options`: of `nnssl_plugin plan`, beside the study's."""

    trainer: str = "SSLScratchTrainer"
    plans: str | None = None
    plan_options: Options = ""
    assignments: Assignments = []


class Recipe(Section):
    """A pre-training, and what is fine-tuned from it.

    `plan_options`: of the plans of both, beside the study's; `pretraining_options`: of pre-training's alone, beside
    those. `control`: which control it is compared with, by default the first. `schedules`: by default all.
    """

    trainer: str = "SSLPretrainTrainer"
    plans: str | None = None
    plan_options: Options = ""
    pretraining_options: Options = ""
    assignments: Assignments = []
    control: str | None = None
    schedules: list[str] | None = None


class Schedule(Section):
    """A way to fine-tune."""

    trainer: str = "SSLFinetuneTrainer"
    assignments: Assignments = []


class Study(Section):
    """A whole study. `evaluation`: of `nnssl_plugin evaluate`. `assignments` and options hold for all runs."""

    name: Name
    dataset: int | str
    configuration: str
    plans: str = "nnUNetPlans"
    folds: Annotated[list[Whole], Field(min_length=1)] = [0]
    evaluation: Literal["brats", "chaos", "regions"]
    plan_options: Options = ""
    pretraining_options: Options = ""
    assignments: Assignments = []
    labels: Annotated[list[Labels], Field(min_length=1)]
    controls: Annotated[dict[Name, Control], Field(min_length=1)]
    recipes: dict[Name, Recipe] = {}
    schedules: dict[Name, Schedule] = {}

    def control_of(self, recipe: str) -> str:
        """Name of the control that a recipe is compared with."""
        return self.recipes[recipe].control or next(iter(self.controls))

    def schedules_of(self, recipe: str) -> list[str]:
        """Names of the schedules that a recipe is fine-tuned by."""
        named = self.recipes[recipe].schedules
        return list(self.schedules) if named is None else named

    def arms_of(self, labels: Labels) -> list[tuple[str, str]]:
        """Controls, with no schedule, and recipes with each of their schedules, that an amount of labels is for."""
        wanted = self.schedules if labels.schedules is None else labels.schedules
        arms = [(control, "") for control in self.controls]
        arms += [(recipe, name) for recipe in self.recipes for name in self.schedules_of(recipe) if name in wanted]
        return [(arm, schedule) for arm, schedule in arms if labels.recipes is None or arm in labels.recipes]


SECTIONS: dict[str, type[Section]] = {
    "labels": Labels,
    "controls": Control,
    "recipes": Recipe,
    "schedules": Schedule,
}


def load_study(path: Path) -> Study:
    """Read and check a study file.

    Raises:
        InputError: it cannot be read, an entry is unknown (the message names the nearest), of another type, or names
            something that the file does not declare.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a study file: it holds no 'key: value' lines")
    try:
        study = Study.model_validate(content)
    except ValidationError as error:
        problems = [_explain(problem["loc"], problem["type"], problem["msg"]) for problem in error.errors()]
        raise InputError("\n".join(f"{path}: {problem}" for problem in problems)) from None
    problems = _inconsistencies(study)
    if problems:
        raise InputError("\n".join(f"{path}: {problem}" for problem in problems))
    return study


class _Loader(yaml.SafeLoader):
    """YAML's last of two equal keys wins; here they are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is there twice", node.start_mark)
        return dict(super().construct_mapping(node, deep))


def _inconsistencies(study: Study) -> list[str]:
    problems = [f"{name!r} is a recipe and a control" for name in study.recipes.keys() & study.controls.keys()]
    for name, recipe in study.recipes.items():
        problems += _undeclared(f"recipes.{name}.control", [recipe.control] if recipe.control else [], study.controls)
        problems += _undeclared(f"recipes.{name}.schedules", recipe.schedules or [], study.schedules)
        if not study.schedules_of(name):
            problems.append(f"recipes.{name} is fine-tuned by no schedule; declare one under 'schedules'")
    arms = {**study.controls, **study.recipes}
    titles = [labels.title for labels in study.labels]
    for i, labels in enumerate(study.labels):
        problems += _undeclared(f"labels.{i}.recipes", labels.recipes or [], arms)
        problems += _undeclared(f"labels.{i}.schedules", labels.schedules or [], study.schedules)
        problems += [f"labels.{i}: {problem}" for problem in _without_partner(study, labels)]
        if labels.title in titles[:i]:
            problems.append(f"labels.{i} declares {labels.title} a second time")
        if len(set(labels.seeds)) < len(labels.seeds):
            problems.append(f"labels.{i}.seeds holds a seed twice: {labels.seeds}")
    if len(set(study.folds)) < len(study.folds):
        problems.append(f"folds holds a fold twice: {study.folds}")
    places: list[tuple[str, Study | Control | Recipe | Schedule]] = [("", study)]
    places += [(f"controls.{name}.", control) for name, control in study.controls.items()]
    places += [(f"recipes.{name}.", recipe) for name, recipe in study.recipes.items()]
    places += [(f"schedules.{name}.", schedule) for name, schedule in study.schedules.items()]
    for place, section in places:
        for field in ("plan_options", "pretraining_options"):
            reserved = RESERVED_OPTIONS & set(shlex.split(getattr(section, field, "")))
            if reserved:
                problems.append(f"{place}{field} holds {', '.join(sorted(reserved))}, which the study itself gives")
        problems += [f"{place}set: {problem}" for problem in _bad_assignments(section.assignments)]
    return problems


def _without_partner(study: Study, labels: Labels) -> list[str]:
    arms = study.arms_of(labels)
    if not arms:
        return ["its recipes and schedules leave nothing to run"]
    named = {arm for arm, _ in arms}
    return [
        f"{recipe} is compared with {study.control_of(recipe)}, which 'recipes' leaves out"
        for recipe in study.recipes
        if recipe in named and study.control_of(recipe) not in named
    ]


def _undeclared(place: str, names: list[str], declared: dict[str, Any]) -> list[str]:
    return [
        f"{place} names {name!r}; declared are {', '.join(map(repr, declared)) or 'none'}"
        for name in names
        if name not in declared
    ]


def _bad_assignments(assignments: list[str]) -> list[str]:
    problems = []
    for assignment in assignments:
        if assignment.startswith("finetuning.seed="):
            problems.append("finetuning.seed is given by labels.seeds")
        try:
            settings_with(Settings(), [assignment])
        except InputError as error:
            problems.append(str(error))
    return problems


def _explain(location: tuple[int | str, ...], kind: str, message: str) -> str:
    place = ".".join(map(str, location))
    if kind != "extra_forbidden":
        return f"{place}: {message.removeprefix('Value error, ')}" if place else message
    section = SECTIONS[str(location[0])] if len(location) > 1 else Study
    known = [field.alias or name for name, field in section.model_fields.items()]
    nearest = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.0)
    return f"unknown entry {place!r}; the nearest known one is {nearest[0]!r}"
