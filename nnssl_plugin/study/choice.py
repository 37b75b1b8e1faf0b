"""What a study on development patients would choose; on test patients nothing is chosen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nnssl_plugin.errors import InputError
from nnssl_plugin.report.table_text import Table
from nnssl_plugin.study.results import Cell, summarise
from nnssl_plugin.study.scores import read_results
from nnssl_plugin.study.study_folder import read_study


def choose(folder: Path) -> str:
    """For each amount of labels and method, its best numbers of steps; the methods are in the order of their Dice there.

    Returns:
        A table as text.

    Raises:
        InputError: the study scored test patients, or patients that are not declared as development patients; or no run
            has been scored yet.
    """
    study = read_study(folder)
    if study["scored"] != "development":
        who = "test patients" if study["scored"] == "test" else "patients that its file does not declare"
        raise InputError(
            f"{folder} scored {who}: a choice made on them is not tested on other patients. Choose on a study whose file has "
            "patients: {development: [...], test: [...], scored: development}, then score the test patients once"
        )
    cells = summarise(study, read_results(folder, study["runs"]))
    if not cells:
        raise InputError(f"{folder}: no run has been scored yet")
    return choice_table(cells).text()


def choice_table(cells: Sequence[Cell]) -> Table:
    """Best budget and length of pre-training of every method at every amount of labels, by Dice over all regions."""
    candidates: dict[tuple[str, str], dict[tuple[int, int], list[Cell]]] = {}
    for cell in cells:
        if cell.metric == "Dice" and cell.scores:
            steps = candidates.setdefault((cell.labels, cell.method), {})
            steps.setdefault((cell.steps, cell.pretraining_steps), []).append(cell)
    rows = []
    for (labels, method), steps in candidates.items():
        means = {key: float(np.mean([cell.mean for cell in regions])) for key, regions in steps.items()}
        best = max(means, key=lambda key: (means[key], [-count for count in key]))
        differences = [cell.difference.mean for cell in steps[best] if cell.difference]
        gain = f"{np.mean(differences):+.4f}" if differences else ""
        rows.append([labels, method, str(best[0]), str(best[1] or ""), f"{means[best]:.4f}", gain])
    order = list(dict.fromkeys(row[0] for row in rows))
    rows.sort(key=lambda row: (order.index(row[0]), -float(row[4])))
    header = ["labels", "recipe", "best steps", "best pre-training steps", "Dice", "gain at these steps"]
    return Table(header, rows, (2, 3, 4, 5))
