"""Figures of results: scores case by case, and curves of trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nnssl_plugin.plots.chance import CHANCE_SUFFIX
from nnssl_plugin.plots.style import GREY, PALETTE, plain, shortened
from nnssl_plugin.report.comparison import RegionComparison


def case_scores(titles: Sequence[str], compared: Sequence[RegionComparison]) -> Figure:
    """Dice of every case in both runs, the two of a case joined; means as bars.

    Args:
        titles: of the first and the second run.
        compared: one panel per region.
    """
    figure = Figure(figsize=(2.1 * len(compared) + 0.5, 3.4), layout="constrained")
    axes = figure.subplots(1, len(compared), sharey=True, squeeze=False)[0]
    for axis, one in zip(axes, compared, strict=True):
        pair = np.stack([one.second, one.first])
        axis.plot([0, 1], pair, color=GREY, linewidth=0.8, alpha=0.7, zorder=1)
        for x, scores, colour in zip((0, 1), pair, PALETTE[1::-1], strict=True):
            axis.scatter(
                np.full(len(scores), x), scores, color=colour, s=22, zorder=2, edgecolor="white", linewidth=0.6
            )
            axis.hlines(scores.mean(), x - 0.25, x + 0.25, color=colour, linewidth=2.5, zorder=3)
        axis.set_xticks([0, 1], [titles[1].replace(" ", "\n", 1), titles[0].replace("-", "-\n", 1)])
        axis.set_xlim(-0.5, 1.5)
        axis.set_ylim(-0.03, 1.03)
        axis.set_title(one.region)
        plain(axis)
    axes[0].set_ylabel("Dice")
    return figure


def strips(panels: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """Scores of every case as dots over a box plot.

    Args:
        panels: label of the axis → title → scores.
    """
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    width = 1.9 + 0.6 * max(len(scores) for scores in panels.values())
    figure = Figure(figsize=(columns * width, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    rng = np.random.default_rng(0)
    for axis, (label, scores) in zip(axes, panels.items(), strict=False):
        for x, values in enumerate(scores.values()):
            if len(values):
                axis.boxplot(
                    list(values), positions=[x], widths=0.5, showfliers=False, medianprops={"color": PALETTE[1]}
                )
                axis.scatter(
                    x + rng.uniform(-0.15, 0.15, len(values)), values, color=PALETTE[0], s=12, alpha=0.6, zorder=3
                )
        axis.set_xticks(range(len(scores)), map(shortened, scores), rotation=25, ha="right")
        axis.set_title(label)
        plain(axis)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    return figure


def pretext_curves(logging: Mapping[str, Any], steps_per_epoch: int) -> Figure:
    """Every measure of a pre-training that has a chance level, beside it.

    Args:
        logging: what `PretextLogger` keeps in a checkpoint.
        steps_per_epoch: optimisation steps.
    """
    names = [key.removeprefix("val/") for key in logging if key.startswith("val/") and key + CHANCE_SUFFIX in logging]
    figure = Figure(figsize=(3.4 * len(names), 2.9), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        steps = _steps(logging[f"val/{name}"], steps_per_epoch)
        axis.plot(steps, logging[f"train/{name}"], color=PALETTE[0], label="training patches")
        axis.plot(steps, logging[f"val/{name}"], color=PALETTE[0], alpha=0.4, label="without augmentation")
        axis.plot(steps, logging[f"val/{name}{CHANCE_SUFFIX}"], ":", color=GREY, label="chance")
        axis.set_title(name.replace("/", ": ").replace("_", " "))
        axis.set_xlabel("step")
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=7, frameon=False)
        plain(axis)
    return figure


def finetuning_curves(runs: Mapping[str, Mapping[str, Any]], steps_per_epoch: int) -> Figure:
    """Training loss and nnU-Net's pseudo-Dice of each run.

    Args:
        runs: title → what nnU-Net's logger keeps in a checkpoint.
        steps_per_epoch: optimisation steps.
    """
    figure = Figure(figsize=(8.6, 2.9), layout="constrained")
    panels = {
        "train_losses": "training loss (Dice + cross-entropy)",
        "mean_fg_dice": "pseudo-Dice (patches of test cases)",
    }
    for axis, (key, title) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for (run, logging), colour in zip(runs.items(), PALETTE, strict=False):
            axis.plot(_steps(logging[key], steps_per_epoch), logging[key], color=colour, label=run)
        axis.set_title(title)
        axis.set_xlabel("step")
        axis.legend(fontsize=8, frameon=False)
        plain(axis)
    return figure


def _steps(values: Sequence[float], steps_per_epoch: int) -> list[int]:
    return [steps_per_epoch * (epoch + 1) for epoch in range(len(values))]
