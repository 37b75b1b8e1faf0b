"""What of a study contradicts itself or makes its comparisons invalid, as far as its file alone tells."""

import shlex
from collections.abc import Iterable, Iterator, Mapping

from nnssl_plugin.errors import InputError
from nnssl_plugin.planning.plan_options import read_plan_options
from nnssl_plugin.settings.settings import Settings, settings_with
from nnssl_plugin.study.declaration import Control, Labels, Recipe, Schedule, Study

# Keys and list positions from the outermost in.
Location = tuple[str | int, ...]
Problem = tuple[Location, str]

# Names of the plugin's own trainers begin so; others do not follow its settings.
OWN_TRAINERS = "SSL"
RESERVED_OPTIONS = {"-d", "-p", "-o", "--set", "--overwrite"}
# Settings that the study itself gives to each run, and how it is told them.
GIVEN = {
    "finetuning.seed": "is given by 'seeds' of the labels",
    "finetuning.label_fraction": "is given by 'labels', whose subsets are folds; set as well, it would take a share of those",
    "finetuning.label_seed": "is given by 'draws' of the labels",
    "classification.seed": "is given by 'seeds' of the labels",
    "classification.columns": "is given by 'columns'",
    "classification.label_fraction": "is given by 'labels'",
    "classification.label_seed": "is given by 'draws' of the labels",
    "pretraining.seed": "is given by 'pretraining_seeds'",
    "pretraining.keep": "is given by 'pretraining_steps' of the recipe",
}


def inconsistencies(study: Study) -> list[Problem]:
    """Every problem with its place in the file."""
    parts = (_names, _classes, _patients, _labels, _lengths, _options, _settings)
    return [problem for part in parts for problem in part(study)]


def _names(study: Study) -> Iterator[Problem]:
    for name in study.recipes.keys() & study.controls.keys():
        yield ("recipes", name), f"{name!r} is a recipe and a control"
    for name, recipe in study.recipes.items():
        place = ("recipes", name)
        yield from _undeclared((*place, "control"), [recipe.control] if recipe.control else [], study.controls)
        yield from _undeclared((*place, "schedules"), recipe.schedules or [], study.schedules)
        yield from _twice((*place, "pretraining_steps"), recipe.pretraining_steps)
        if not study.schedules_of(name):
            yield place, "is fine-tuned by no schedule; declare one under 'schedules'"
    yield from _twice(("folds",), study.folds)
    yield from _twice(("budgets",), study.budgets)
    yield from _twice(("pretraining_seeds",), study.pretraining_seeds)


def _classes(study: Study) -> Iterator[Problem]:
    if study.evaluation != "classes":
        if study.columns:
            yield ("columns",), "are classes, which need 'evaluation: classes'"
        return
    if not study.columns:
        yield (), "'evaluation: classes' needs 'columns' of the data set's table"
    if study.patients:
        yield ("patients",), "classification is compared over its own folds; name 'folds' instead"
    for i, labels in enumerate(study.labels):
        if labels.count is not None:
            yield ("labels", i, "count"), "a share is taken of each class; write 'fraction'"


def _patients(study: Study) -> Iterator[Problem]:
    patients = study.patients
    if patients is None:
        return
    if "folds" in study.model_fields_set:
        yield ("folds",), "'patients' say who is trained on and who is scored; leave 'folds' out"
    lists = {"development": patients.development, "test": patients.test, "training": patients.training or []}
    for part, names in lists.items():
        yield from _twice(("patients", part), names)
    for part, other in (("training", "test"), ("training", "development"), ("development", "test")):
        for i, name in enumerate(lists[part]):
            if name in lists[other]:
                what = "labelled and pre-trained on" if part == "training" else "chosen on"
                yield ("patients", part, i), f"{name} is a {other} patient and would be {what}"


def _labels(study: Study) -> Iterator[Problem]:
    methods = {**study.controls, **study.recipes}
    titles = [labels.title for labels in study.labels]
    for i, labels in enumerate(study.labels):
        place = ("labels", i)
        yield from _undeclared((*place, "recipes"), labels.recipes or [], methods)
        yield from _undeclared((*place, "schedules"), labels.schedules or [], study.schedules)
        for key in ("draws", "seeds", "budgets"):
            yield from _twice((*place, key), getattr(labels, key))
        if labels.title in titles[:i]:
            yield place, f"declares {labels.title} a second time"
        yield from ((place, problem) for problem in _draws(labels))
        yield from ((place, problem) for problem in _without_partner(study, labels))


def _draws(labels: Labels) -> Iterator[str]:
    if labels.fraction == 1:
        if labels.draws is not None:
            yield "all patients are labelled, so there is nothing to draw; leave 'draws' out"
    elif labels.draws is None:
        yield (
            "'draws' are missing: they say which patients are labelled, 'seeds' how the network is initialised. In version "
            "0.2.0 a seed did both; now write, for example, draws: [0, 1, 2, 3, 4] and seeds: [0, 1]"
        )
    elif len(labels.draws) == 1:
        yield (
            "one draw only: whether a difference holds for other labelled patients could not be told; name at least two, "
            "better five"
        )


def _without_partner(study: Study, labels: Labels) -> Iterator[str]:
    methods = {name for name, _ in study.methods_of(labels)}
    if not methods:
        yield "its recipes and schedules leave nothing to run"
    for recipe in study.recipes:
        if recipe in methods and study.control_of(recipe) not in methods:
            yield f"{recipe} is compared with {study.control_of(recipe)}, which 'recipes' leaves out"


def _has_budgets(study: Study) -> bool:
    return any(budget for labels in study.labels for budget in study.budgets_of(labels))


def _lengths(study: Study) -> Iterator[Problem]:
    for place, section in _sections(study):
        trainer = getattr(section, "trainer", OWN_TRAINERS)
        if place[:1] != ("recipes",) and _has_budgets(study) and not trainer.startswith(OWN_TRAINERS):
            yield (*place, "trainer"), f"{trainer} has a length of its own, which 'budgets' do not change"


def _sections(study: Study) -> Iterator[tuple[Location, Study | Control | Recipe | Schedule]]:
    yield (), study
    for key, sections in (
        ("controls", study.controls),
        ("recipes", study.recipes),
        ("schedules", study.schedules),
    ):
        for name, section in sections.items():
            yield (key, name), section


def _options(study: Study) -> Iterator[Problem]:
    for place, section in _sections(study):
        for field in ("plan_options", "pretraining_options"):
            try:
                words = shlex.split(getattr(section, field, ""))
            except ValueError as error:
                yield (*place, field), str(error)
                continue
            if reserved := RESERVED_OPTIONS & set(words):
                yield (*place, field), f"holds {', '.join(sorted(reserved))}, which the study itself gives"
                continue
            try:
                read_plan_options(words)
            except InputError as error:
                yield (*place, field), f"of nnssl_plugin plan: {error}"


def _settings(study: Study) -> Iterator[Problem]:
    given = dict(GIVEN)
    if _has_budgets(study):
        given[f"{study.downstream}.epochs"] = "is given by 'budgets'"
    for place, section in _sections(study):
        for i, assignment in enumerate(section.assignments):
            name = assignment.partition("=")[0]
            if name in given:
                yield (*place, "set", i), f"{name} {given[name]}"
                continue
            try:
                settings_with(Settings(), [assignment])
            except InputError as error:
                yield (*place, "set", i), str(error)


def _undeclared(place: Location, names: Iterable[str], declared: Mapping[str, object]) -> Iterator[Problem]:
    for name in names:
        if name not in declared:
            yield place, f"names {name!r}; declared are {', '.join(map(repr, declared)) or 'none'}"


def _twice(place: Location, values: list[int] | list[str] | None) -> Iterator[Problem]:
    if values and len(set(values)) < len(values):
        yield place, f"holds a value twice: {', '.join(map(str, values))}"
