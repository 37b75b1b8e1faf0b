"""A study's Dice (or AUC), and gains in it, as curves over what was varied."""

from collections.abc import Callable, Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from nnssl_plugin.report.figures import plain
from nnssl_plugin.study.results import MAIN_METRICS, Cell, labels_title

COLOURS = ("#8a949e", "#0b63a5", "#d1600a", "#2a8c4a", "#9b3fa5", "#c0392b", "#1f9eaf", "#7f6a00", "#4a4fbf", "#e377c2")
Number = Callable[[Cell], float]


def study_curves(cells: Sequence[Cell]) -> Iterator[tuple[str, Figure]]:
    """Title and figure of Dice and of the gain in it over labelled patients, fine-tuning and pre-training steps.

    What was not varied has no curve. A figure has a row for each amount of labels (or, over labels, for the largest number
    of steps alone), and a column for each region.
    """
    cells = [cell for cell in cells if cell.metric in MAIN_METRICS and cell.scores]
    # Several pre-training lengths would be several lines of one recipe: there the longest is shown.
    longest = {cell.method: max(one.pretraining_steps for one in cells if one.method == cell.method) for cell in cells}
    full = [cell for cell in cells if cell.pretraining_steps == longest[cell.method]]
    at_the_end = [cell for cell in full if cell.steps == _most_steps(cell, cells)]
    for what, shown, number in (
        ("labelled patients", at_the_end, lambda cell: cell.patients),
        ("fine-tuning steps", full, lambda cell: cell.steps),
        ("pre-training steps", [cell for cell in cells if cell.difference], lambda cell: cell.pretraining_steps),
    ):
        over_labels = what == "labelled patients"
        varied = [cell for cell in shown if _is_varied(cell, shown, number, over_labels)]
        rows = [""] if over_labels else list(dict.fromkeys(cell.labels for cell in varied))
        if what == "pre-training steps":
            varied = [cell for cell in varied if cell.steps == _most_steps(cell, cells)]
        # A control has no pre-training, so over its steps it is a line across.
        controls = {cell.difference.control for cell in varied if cell.difference and what == "pre-training steps"}
        across = [cell for cell in at_the_end if cell.method in controls]
        if varied:
            yield f"{varied[0].metric} over {what}", _figure(varied, rows, number, what, across)
        if any(cell.difference for cell in varied):
            gains = [cell for cell in varied if cell.difference]
            yield f"Gain in {gains[0].metric} over {what}", _figure(gains, rows, number, what, gain=True)


def _most_steps(cell: Cell, cells: Sequence[Cell]) -> int:
    """Of its method with its labels: more labels may have a longer schedule."""
    return max(one.steps for one in cells if (one.method, one.labels) == (cell.method, cell.labels))


def _is_varied(cell: Cell, cells: Sequence[Cell], number: Number, over_labels: bool) -> bool:
    like = [one for one in cells if one.method == cell.method and (over_labels or one.labels == cell.labels)]
    return len({number(one) for one in like}) > 1


def _figure(
    cells: Sequence[Cell],
    rows: Sequence[str],
    number: Number,
    what: str,
    across: Sequence[Cell] = (),
    gain: bool = False,
) -> Figure:
    regions = list(dict.fromkeys(cell.region for cell in cells))
    figure = Figure(figsize=(4.2 * len(regions), 3.4 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(regions), squeeze=False)
    methods = list(dict.fromkeys(cell.method for cell in cells))
    for labels, line in zip(rows, panels, strict=True):
        for region, axis in zip(regions, line, strict=True):
            shown = [cell for cell in cells if cell.region == region and labels in ("", cell.labels)]
            for method, colour in zip(methods, _colours(methods, gain or bool(across)), strict=False):
                curve = sorted((cell for cell in shown if cell.method == method), key=number)
                _line(axis, curve, number, colour, gain)
            for cell in across:
                if (cell.region, cell.labels) == (region, labels):
                    axis.axhline(cell.mean, color=COLOURS[0], linestyle="--", linewidth=1.2, label=cell.method)
            axis.set_xscale("log")
            ticks = sorted({number(cell) for cell in shown})
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axis.xaxis.set_minor_locator(NullLocator())
            axis.set_title(f"{region}, {labels_title(labels)}" if labels else region)
            axis.set_xlabel(what)
            metric = cells[0].metric
            axis.set_ylabel(f"gain in {metric}" if gain else metric)
            plain(axis)
    panels[0][0].legend(fontsize=8, frameon=False)
    return figure


def _colours(methods: Sequence[str], without_control: bool) -> list[str]:
    """The first is for what others are compared with."""
    colours = COLOURS[1:] if without_control else COLOURS
    return [colours[i % len(colours)] for i in range(len(methods))]


def _line(axis: Axes, curve: Sequence[Cell], number: Number, colour: str, gain: bool) -> None:
    if not curve:
        return
    x = [number(cell) for cell in curve]
    if gain:
        differences = [cell.difference for cell in curve if cell.difference]
        y = [one.mean for one in differences]
        low, high = zip(*(one.interval for one in differences), strict=True)
        axis.axhline(0, color=COLOURS[0], linewidth=0.8)
        axis.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
    else:
        y = [cell.mean for cell in curve]
        for cell in curve:
            axis.scatter([number(cell)] * len(cell.scores), list(cell.scores.values()), color=colour, s=10, alpha=0.5)
    axis.plot(x, y, "o-", color=colour, label=curve[0].method, markersize=5)
