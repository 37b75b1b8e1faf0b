from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from nnssl_plugin.report.figures import plain
from nnssl_plugin.study.results import Cell

COLOURS = ("#8a949e", "#0b63a5", "#d1600a", "#2a8c4a", "#9b3fa5", "#c0392b", "#1f9eaf", "#7f6a00", "#4a4fbf", "#e377c2")


def learning_curves(cells: Sequence[Cell], metric: str) -> Figure:
    """A metric over the number of labelled patients (logarithmic): one panel per region, one line per recipe."""
    shown = [cell for cell in cells if cell.metric == metric and cell.seeds]
    regions, arms = list(dict.fromkeys(cell.region for cell in shown)), list(dict.fromkeys(cell.arm for cell in shown))
    figure = Figure(figsize=(4.2 * max(1, len(regions)), 3.6), layout="constrained")
    axes = figure.subplots(1, max(1, len(regions)), squeeze=False)[0]
    for axis, region in zip(axes, regions, strict=False):
        for number, arm in enumerate(arms):
            curve = sorted((c for c in shown if (c.region, c.arm) == (region, arm)), key=lambda cell: cell.patients)
            colour = COLOURS[number % len(COLOURS)]
            axis.plot([c.patients for c in curve], [c.mean for c in curve], "o-", color=colour, label=arm, markersize=5)
            for cell in curve:
                axis.scatter(
                    [cell.patients] * len(cell.seeds), list(cell.seeds.values()), color=colour, s=10, alpha=0.5
                )
        patients = sorted({cell.patients for cell in shown})
        axis.set_xscale("log")
        axis.set_xticks(patients, [f"{count:g}" for count in patients])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_title(region)
        axis.set_xlabel("labelled patients")
        axis.set_ylabel(metric)
        plain(axis)
    if regions:
        axes[0].legend(fontsize=8, frameon=False)
    return figure
