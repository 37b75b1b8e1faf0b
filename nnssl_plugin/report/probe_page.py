from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from nnssl_plugin.plots.style import GREY, PALETTE, plain, shortened
from nnssl_plugin.report.page import facts, page, paragraph, picture, section, table
from nnssl_plugin.report.probe_table import probe_tables

CAUTION = (
    "A probe finds a collapsed or useless run. It does not say which of two good runs is better to fine-tune: in published results "
    "the ranking by frozen features is nearly the reverse of that by fine-tuning. Choose by fine-tuning."
)


def probe_page(result: Mapping[str, Any]) -> Markup:
    """The result of `nnssl_plugin probe` as a page."""
    parts = [
        paragraph(CAUTION, "note"),
        facts([(str(result["cases"]), "cases"), (str(result["patients"]), "patients")]),
    ]
    for task, one in probe_tables(result).items():
        first = one.header[2]
        caption = f"{first}: one dot per draw; the line is the mean. Grey: baselines without training."
        parts.append(
            section(
                task,
                paragraph(result["about"][task], "soft"),
                table(one.header, one.rows, one.numbers),
                picture(_strips(result, task, first), caption),
            )
        )
    seen = [[name, text] for name, text in result["seen"].items()]
    parts.append(section("Checkpoints", table(["network", "trained on"], seen)))
    what = f"{result['dataset']}, plans {result['plans']}, {result['configuration']}; {result['seconds']:.0f} s"
    return page("Probe of frozen features", what, *parts)


def _strips(result: Mapping[str, Any], task: str, score: str) -> Figure:
    rows = [row for row in result["rows"] if row["task"] == task and row["judge"]]
    judges = list(dict.fromkeys(row["judge"] for row in rows))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    figure = Figure(figsize=(1.6 + 1.1 * len(networks) * len(judges), 3.2), layout="constrained")
    for axis, judge in zip(figure.subplots(1, len(judges), sharey=True, squeeze=False)[0], judges, strict=True):
        colours = iter(PALETTE * len(networks))
        for x, row in enumerate(row for row in rows if row["judge"] == judge):
            colour = next(colours) if row["network"] in result["seen"] else GREY
            one = row["scores"][score]
            axis.scatter([x] * len(one["draws"]), one["draws"], color=colour, s=14, alpha=0.5)
            axis.hlines(one["mean"], x - 0.3, x + 0.3, color=colour, linewidth=2.5)
        axis.set_xticks(range(len(networks)), map(shortened, networks), rotation=25, ha="right")
        axis.set_title(judge)
        plain(axis)
    figure.axes[0].set_ylabel(score)
    return figure
