"""What a study file declares.

A *control* trains from scratch; a *recipe* pre-trains and is fine-tuned by one or more *schedules*; a *method* is a control,
or a recipe with one of its schedules.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Names become parts of plans names, which nnU-Net splits at '__'.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")]
Assignments = Annotated[list[str], Field(alias="set")]
CLASSIFIER = "SSLClassifyTrainer"
Whole = Annotated[int, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A part of the file; unknown keys and values of another type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Patients(Section):
    """Who is trained on and who is scored, by the names that conversion gave; no patient is in two of the lists.

    `development`: to choose recipes, schedules and budgets on. `test`: to confirm what was chosen. `scored`: which of
    the two this study scores. `training`: pre-trained on, and labelled patients are drawn from them; by default all others.
    """

    development: list[str] = []
    test: list[str] = []
    scored: Literal["development", "test"] = "development"
    training: list[str] | None = None

    @model_validator(mode="after")
    def _somebody_is_scored(self) -> "Patients":
        if not getattr(self, self.scored):
            raise ValueError(f"'scored: {self.scored}' needs patients under '{self.scored}'")
        return self


class Labels(Section):
    """How many labelled patients to train on.

    `draws`: each decides which patients these are; left out where all are. `seeds`: of initialisation. Every draw is
    trained with every seed. `budgets`: by default the study's. `recipes`: names of recipes and controls, `schedules`: names
    of schedules, by default all.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    count: Count | None = None
    draws: Annotated[list[Whole], Field(min_length=1)] | None = None
    seeds: Annotated[list[Whole], Field(min_length=1)]
    budgets: Annotated[list[Count], Field(min_length=1)] | None = None
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

    @property
    def all_draws(self) -> list[int | None]:
        """One None where all patients are labelled."""
        return [*self.draws] if self.draws else [None]


class Control(Section):
    """Training from scratch. `plan_options`: of `nnssl_plugin plan`, beside the study's."""

    trainer: str = "SSLScratchTrainer"
    plans: str | None = None
    plan_options: str = ""
    assignments: Assignments = []


class Recipe(Section):
    """A pre-training, and what is fine-tuned from it.

    `plan_options`: of the plans of both, beside the study's; `pretraining_options`: of pre-training's alone, beside
    those. `control`: which control it is compared with, by default the first. `schedules`: by default all.
    `pretraining_steps`: the weights after each of these are fine-tuned from; by default those at the end alone.
    """

    trainer: str = "SSLPretrainTrainer"
    plans: str | None = None
    plan_options: str = ""
    pretraining_options: str = ""
    assignments: Assignments = []
    control: str | None = None
    schedules: list[str] | None = None
    pretraining_steps: Annotated[list[Count], Field(min_length=1)] | None = None


class Schedule(Section):
    """A way to fine-tune."""

    trainer: str = "SSLFinetuneTrainer"
    assignments: Assignments = []


class Study(Section):
    """A whole study. `evaluation`: of `nnssl_plugin evaluate`. `assignments` and options hold for all runs.

    With `evaluation: classes` networks learn the classes in `columns` of the data set's table, by default with
    `SSLClassifyTrainer`, and folds are that trainer's.

    `folds`: of nnU-Net's splits, whose validation cases are scored; or `patients`, in place of folds.
    `budgets`: numbers of fine-tuning steps, each with a schedule of its own; by default as the settings say.
    `pretraining_seeds`: one pre-training each, of every recipe; draws and seeds take turns with them.
    """

    name: Name
    dataset: int | str
    configuration: str
    plans: str = "nnUNetPlans"
    folds: Annotated[list[Whole], Field(min_length=1)] = [0]
    patients: Patients | None = None
    evaluation: Literal["brats", "chaos", "regions", "classes"]
    columns: list[str] = []
    plan_options: str = ""
    pretraining_options: str = ""
    assignments: Assignments = []
    pretraining_seeds: Annotated[list[Whole], Field(min_length=1)] = [0, 1]
    budgets: Annotated[list[Count], Field(min_length=1)] | None = None
    labels: Annotated[list[Labels], Field(min_length=1)]
    controls: Annotated[dict[Name, Control], Field(min_length=1)]
    recipes: dict[Name, Recipe] = {}
    schedules: dict[Name, Schedule] = {}

    @model_validator(mode="before")
    @classmethod
    def _trained_to_classify(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("evaluation") != "classes":
            return values
        filled = dict(values)
        for key in ("controls", "schedules"):
            sections = values.get(key)
            if isinstance(sections, dict):
                filled[key] = {
                    name: {"trainer": CLASSIFIER, **section} if isinstance(section, dict) else section
                    for name, section in sections.items()
                }
        return filled

    @property
    def downstream(self) -> str:
        """The section of the settings that the fine-tuned runs follow."""
        return "classification" if self.evaluation == "classes" else "finetuning"

    def control_of(self, recipe: str) -> str:
        """Name of the control that a recipe is compared with."""
        return self.recipes[recipe].control or next(iter(self.controls))

    def schedules_of(self, recipe: str) -> list[str]:
        """Names of the schedules that a recipe is fine-tuned by."""
        named = self.recipes[recipe].schedules
        return list(self.schedules) if named is None else named

    def methods_of(self, labels: Labels) -> list[tuple[str, str]]:
        """Controls, with no schedule, and recipes with each of their schedules, that an amount of labels is for."""
        wanted = self.schedules if labels.schedules is None else labels.schedules
        methods = [(control, "") for control in self.controls]
        methods += [(recipe, name) for recipe in self.recipes for name in self.schedules_of(recipe) if name in wanted]
        return [(name, schedule) for name, schedule in methods if labels.recipes is None or name in labels.recipes]

    def pretraining_steps_of(self, method: tuple[str, str]) -> list[int | None]:
        """After which the weights were kept that a method starts from; None: those at the end, or none."""
        name, schedule = method
        steps = self.recipes[name].pretraining_steps if schedule else None
        return [*steps] if steps else [None]

    def budgets_of(self, labels: Labels) -> list[int | None]:
        """Numbers of fine-tuning steps; None: as the settings say."""
        budgets = labels.budgets or self.budgets
        return [*budgets] if budgets else [None]


SECTIONS: dict[str, type[Section]] = {
    "patients": Patients,
    "labels": Labels,
    "controls": Control,
    "recipes": Recipe,
    "schedules": Schedule,
}
