"""Draw rooms.png and step.png of how-it-works.md: python docs/figures/drawings.py."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, OURS, STOCK, PALE = "#24292f", "#0969da", "#57606a", "#f6f8fa"
Place = tuple[float, float, float, float]


def box(figure: Figure, place: Place, title: str, lines: Sequence[str] = (), colour: str = OURS) -> None:
    """A rounded box (left, bottom, width, height) with a bold first line."""
    left, bottom, width, height = place
    shape = FancyBboxPatch(
        (left, bottom),
        width,
        height,
        boxstyle="round,pad=0.002,rounding_size=0.008",
        facecolor=PALE,
        edgecolor=colour,
        lw=1.4,
        mutation_aspect=figure.get_figwidth() / figure.get_figheight(),
    )
    figure.add_artist(shape)
    # Lines are 0.21 inches apart.
    apart = 0.21 / figure.get_figheight()
    top = bottom + height / 2 + apart * len(lines) / 2
    for i, line in enumerate([title, *lines]):
        figure.text(
            left + width / 2,
            top - apart * i,
            line,
            ha="center",
            va="center",
            fontsize=9.5 if i == 0 else 8.5,
            weight="bold" if i == 0 else "normal",
            color=colour if i == 0 else INK,
        )


def arrow(figure: Figure, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place to another."""
    figure.add_artist(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=13, lw=1.4, color=INK))


def rooms() -> Figure:
    """Packages of the plugin, above what each stands on."""
    figure = Figure(figsize=(11, 5.6), facecolor="white")
    box(
        figure,
        (0.01, 0.83, 0.53, 0.14),
        "commands/",
        ["nnssl_plugin convert, plan, align, study, evaluate, compare, export, card …"],
    )
    box(figure, (0.56, 0.83, 0.43, 0.14), "trainers/", ["what nnUNetv2_train -tr finds"])
    upper = [
        ("conversion/", ["scans → data set"]),
        ("planning/", ["plans copies,", "settings"]),
        ("study/", ["and runs/:", "many runs, tables"]),
        ("evaluation/", ["and report/:", "scores, pages"]),
        ("export/", ["and sharing/:", "targets, cards"]),
    ]
    for i, (title, lines) in enumerate(upper):
        box(figure, (0.01 + 0.107 * i, 0.57, 0.102, 0.19), title, lines)
    lower = [
        ("pretraining/", ["hooks, budget,", "step, epochs"]),
        ("finetuning/", ["one schedule", "for all arms"]),
        ("classification/", ["bags of tiles"]),
    ]
    for i, (title, lines) in enumerate(lower):
        box(figure, (0.56 + 0.146 * i, 0.57, 0.138, 0.19), title, lines)
    middle = [
        ("data/", ["cohort, loader,", "patches, side data"]),
        ("transforms/", ["augmentation, DAD"]),
        ("objectives/", ["one file each:", "needs, views, loss"]),
        ("networks/", ["heads, fusion block"]),
        ("checkpoints/", ["weights, provenance"]),
        ("settings/", ["validated, of the", "plans file"]),
    ]
    for i, (title, lines) in enumerate(middle):
        box(figure, (0.01 + 0.1645 * i, 0.3, 0.157, 0.19), title, lines)
    box(figure, (0.01, 0.16, 0.98, 0.08), "nnunet/", ["nnU-Net's files, folders and names, in one place"])
    box(
        figure,
        (0.01, 0.02, 0.98, 0.08),
        "released nnU-Net",
        ["nnunetv2, batchgenerators, dynamic-network-architectures: as installed"],
        STOCK,
    )
    for x in (0.275, 0.775):
        arrow(figure, (x, 0.825), (x, 0.77))
        arrow(figure, (x, 0.565), (x, 0.5))
    for low, high in ((0.295, 0.25), (0.155, 0.11)):
        arrow(figure, (0.5, low), (0.5, high))
    return figure


def step() -> Figure:
    """From the images of a case to the update of the weights."""
    figure = Figure(figsize=(11, 3.9), facecolor="white")
    box(
        figure,
        (0.005, 0.55, 0.13, 0.36),
        "cases",
        ["training cases of", "the fold, unlabelled", "data sets; no label"],
        STOCK,
    )
    box(
        figure,
        (0.185, 0.55, 0.17, 0.36),
        "loader",
        ["patches of several", "patients: clean, aug-", "mented, denormalised"],
    )
    box(
        figure,
        (0.41, 0.55, 0.15, 0.36),
        "draw_views",
        ["each objective: what", "the network is shown", "(blocks, cubes, pairs)"],
    )
    box(
        figure,
        (0.615, 0.55, 0.16, 0.36),
        "network of the plans",
        ["encoder once for all", "views; decoder only", "where one looks at it"],
        STOCK,
    )
    box(figure, (0.83, 0.55, 0.165, 0.36), "forward", ["each objective: loss,", "its parts, measures", "beside chance"])
    for start, end in ((0.138, 0.18), (0.36, 0.405), (0.565, 0.61), (0.78, 0.825)):
        arrow(figure, (start, 0.73), (end, 0.73))
    box(
        figure,
        (0.615, 0.07, 0.38, 0.26),
        "update",
        ["weighted sum of the losses → AdamW;", "not finite: the step is skipped, and the log names the objective"],
    )
    box(figure, (0.41, 0.07, 0.15, 0.26), "teacher", ["distillation only:", "averaged weights"])
    box(
        figure,
        (0.005, 0.07, 0.35, 0.26),
        "checkpoint",
        ["the complete stock network, for -pretrained_weights;", "heads and optimiser beside it, for --c"],
    )
    arrow(figure, (0.91, 0.545), (0.91, 0.34))
    arrow(figure, (0.61, 0.2), (0.567, 0.2))
    arrow(figure, (0.64, 0.34), (0.64, 0.545))
    arrow(figure, (0.404, 0.14), (0.362, 0.14))
    return figure


def main() -> None:
    """Write both beside this file."""
    for name, figure in (("rooms", rooms()), ("step", step())):
        figure.savefig(Path(__file__).with_name(f"{name}.png"), dpi=120)


if __name__ == "__main__":
    main()
