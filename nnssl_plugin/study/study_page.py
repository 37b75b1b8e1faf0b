"""The page of a study: results, curves, cases and runs, made of what is in the study's folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nnssl_plugin.files import read_json
from nnssl_plugin.report.case_pictures import losses_and_gains, run_pictures
from nnssl_plugin.report.figures import strips
from nnssl_plugin.report.page import details, joined, listing, page, paragraph, picture, section, table
from nnssl_plugin.report.table_text import Table
from nnssl_plugin.runs.output import clock
from nnssl_plugin.study.choice import choice_table
from nnssl_plugin.study.curves import study_curves
from nnssl_plugin.study.result_tables import short_table
from nnssl_plugin.study.results import Cell, labels_title, method_title
from nnssl_plugin.study.statistics import FEWEST_DRAWS

SCORED = {
    "development": "Scored are development patients: to choose recipes, schedules and numbers of steps on.",
    "test": "Scored are test patients: they confirm what was chosen before; nothing is chosen here.",
    "": "The study file does not say whether the scored patients are there to choose on or to test on.",
}

OF_CLASSES = (
    "Scored are the validation cases of the folds, by the weights of the last step. What was seen here cannot confirm a choice "
    "that is made here."
)


def study_page(
    folder: Path,
    study: dict[str, Any],
    cells: Sequence[Cell],
    tables: Mapping[str, Table],
    results: Mapping[str, Any],
) -> str:
    """The page as HTML.

    Args:
        folder: of the study.
        study: content of `study.json`.
        cells: of all results.
        tables: by name.
        results: name of a run → its evaluation.
    """
    declared = sum(bool(run["labels"]) for run in study["runs"])
    of_classes = study.get("evaluation") == "classes"
    parts = [paragraph(OF_CLASSES if of_classes else SCORED[study["scored"]], "soft")]
    if len(results) < declared:
        missing = declared - len(results)
        parts.append(paragraph(f"{missing} of {declared} fine-tuned runs have no score yet or failed.", "note"))
    for method, differ in study["differs"].items():
        text = f"{method} differs from its control in more than the weights it starts from: {', '.join(differ)}."
        parts.append(paragraph(text, "note"))
    if cells:
        parts.append(_results(cells, tables["results"]))
        parts += [
            section(
                title, picture(figure, "Lines: means over draws and seeds. Dots: one run each. Bands: 95 % intervals.")
            )
            for title, figure in study_curves(cells)
        ]
    for name, title, note in (
        (
            "steps_needed",
            "When a recipe is where its control is at the end",
            "Interpolated linearly over the logarithm of the number of fine-tuning steps; < and > mark what is outside.",
        ),
        (
            "labels_needed",
            "How many labels the control needs to equal a recipe",
            "Interpolated linearly over the logarithm of the number of patients; < and > mark what is outside.",
        ),
    ):
        if tables[name].rows:
            shown = table(tables[name].header, tables[name].rows, tables[name].numbers)
            parts.append(section(title, shown, paragraph(note, "soft")))
    if cells and study["scored"] == "development":
        best = choice_table(cells)
        parts.append(section("Best numbers of steps", table(best.header, best.rows, best.numbers)))
    if results and not of_classes:
        parts.append(_cases(study, results))
    parts.append(_runs(folder, study))
    declaration = folder / "study.yaml"
    if declaration.is_file():
        parts.append(section("The study file", listing(declaration.read_text(encoding="utf-8"))))
    return page(f"Study {study['name']}", f"{study['dataset']}, {study['configuration']}", *parts)


def _results(cells: Sequence[Cell], whole: Table) -> Markup:
    shown = short_table(cells)
    fewest = min((len(cell.difference.draws) for cell in cells if cell.difference), default=0)
    pretrainings = min((len(cell.difference.pretrainings) for cell in cells if cell.difference), default=0)
    notes = [
        "Differences to the control are paired by labelled patients, seed and case. The interval is a 95 % bootstrap over "
        "draws and cases, both drawn again with replacement; p is of the same bootstrap, corrected by Holm over the recipes "
        "at the same labels and steps. A draw decides which patients are labelled; where all are, seeds take its place."
    ]
    if 0 < fewest < FEWEST_DRAWS:
        notes.append(
            f"Of fewer than {FEWEST_DRAWS} draws (here {fewest}) the interval is too narrow, and there is no p-value: read "
            "the difference of each draw instead."
        )
    if pretrainings == 1:
        notes.append(
            "Where 'each pre-training' names one difference, a recipe was pre-trained once: how another pre-training would "
            "do is not in the interval."
        )
    return section(
        "Results",
        table(shown.header, shown.rows, shown.numbers),
        *(paragraph(note, "soft") for note in notes),
        details("Every metric", table(whole.header, whole.rows, whole.numbers)),
    )


def _cases(study: dict[str, Any], results: Mapping[str, Any]) -> Markup:
    """Dice of every case, and pictures of where the study's first recipe loses and gains most against its control."""
    runs = [run for run in study["runs"] if run["name"] in results]
    regions = list(next(iter(results.values()))["regions"])
    panels: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for region in regions:
            dice = [case[region]["Dice"] for case in results[run["name"]]["cases"].values()]
            known = [value for value in dice if value is not None]
            panel = panels.setdefault(f"{region}, {labels_title(run['labels'])}, {run['steps']} steps", {})
            after = "".join(f", after {steps}" for steps in run["pretraining_steps"])
            panel.setdefault(method_title(run) + after, []).extend(known)
    caption = "One dot per case and run; boxes from quartile to quartile, whiskers to 1.5 times their height."
    parts = [section("Dice of every case", picture(strips(panels), caption))]
    same = ("labels", "budget", "draw", "seed", "base_fold")
    for run in runs:
        for control in runs:
            if control["recipe"] == study["controls"].get(run["recipe"]) and all(run[k] == control[k] for k in same):
                ours, theirs = results[run["name"]], results[control["name"]]
                shown = losses_and_gains(ours["cases"], theirs["cases"], regions[0])
                title = f"Where {run['name']} loses and gains most against {control['recipe']}"
                pictures = run_pictures(shown, title, {control["recipe"]: theirs, method_title(run): ours})
                return joined([*parts, pictures])
    return joined(parts)


def _runs(folder: Path, study: dict[str, Any]) -> Markup:
    rows, hours = [], {"pre-training": 0.0, "fine-tuning and scratch": 0.0}
    for run in study["runs"]:
        path = folder / "runs" / f"{run['name']}.json"
        record = read_json(path) if path.is_file() else {}
        hours["fine-tuning and scratch" if run["labels"] else "pre-training"] += record.get("seconds", 0.0) / 3600
        own = study["scored"] or run["fold"] == run["base_fold"]
        fold = str(run["fold"]) if own else f"{run['base_fold']} (as {run['fold']})"
        rows.append(
            [
                run["name"],
                run["trainer"],
                fold,
                str(len(run["cases"])),
                str(run["steps"]),
                record.get("state", "to do"),
                clock(record["seconds"]) if record.get("seconds") else "",
            ]
        )
    spent = ", ".join(f"{value:.1f} h of {what}" for what, value in hours.items())
    return section(
        "Runs",
        paragraph(f"One after the other they would have taken {spent}, prediction and scoring included.", "soft"),
        table(["run", "trainer", "fold", "training cases", "steps", "state", "min:s"], rows, (3, 4, 6)),
    )
