from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from nnssl_plugin.plots.style import GREY, PALETTE, plain
from nnssl_plugin.report.probe_table import SCORES

LINES = ("-", "--", ":", "-.")


def probe_curves(content: Mapping[str, Any]) -> Figure:
    """Main score of each task by epoch, with its standard deviation over draws; what needs no pre-training in grey.

    Args:
        content: of a run's `probe.json`.
    """
    epochs = {int(number): rows for number, rows in content["epochs"].items()}
    tasks = list(content["about"])
    figure = Figure(figsize=(4.2 * len(tasks), 3.4), layout="constrained")
    for axis, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        beside = [row for row in content["beside"] if row["task"] == task and row["judge"] in ("", "linear")]
        score = next(name for name in SCORES if name in beside[0]["scores"])
        for row, line in zip(beside, LINES, strict=False):
            label = f"{row['network']} {row['judge']}".strip()
            axis.axhline(row["scores"][score]["mean"], color=GREY, linestyle=line, linewidth=1, label=label)
        for judge, colour in zip(("linear", "k-NN"), PALETTE, strict=False):
            of = {n: row for n, rows in epochs.items() for row in rows if (row["task"], row["judge"]) == (task, judge)}
            values = [row["scores"][score] for row in of.values()]
            means, deviations = [one["mean"] for one in values], [one["sd"] for one in values]
            axis.errorbar(list(of), means, deviations, color=colour, marker="o", capsize=3, label=f"this run {judge}")
        axis.set_title(task)
        axis.set_xticks(list(epochs))
        axis.set_xlabel("epoch")
        axis.set_ylabel(score)
        axis.legend(fontsize=7, frameon=False)
        plain(axis)
    return figure
