"""Draw chain.png, the README's picture: python docs/figures/chain.py."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from nnssl_plugin.demo.phantom import phantom_case

SHAPE = (112, 128, 96)
NAMES = {"t1n": "T1", "t1c": "T1c", "t2w": "T2", "t2f": "FLAIR"}
CUBE = 14
SHOWN = 0.3
INK, OURS, STOCK = "#24292f", "#0969da", "#57606a"


def picture(axis: Axes, image: np.ndarray, title: str = "") -> None:
    """A slice without axes."""
    axis.imshow(image, cmap="gray", origin="lower", interpolation="bilinear")
    axis.set_title(title, fontsize=10, color=INK, pad=3)
    axis.axis("off")


def hidden_cubes(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As mosaic restoration hides them."""
    cells = [size // CUBE + 1 for size in image.shape]
    shown = rng.random(cells) < SHOWN
    mask = np.kron(shown, np.ones((CUBE, CUBE), bool))[: image.shape[0], : image.shape[1]]
    return np.where(mask, image, image.min())


def box(figure: Figure, left: float, bottom: float, width: float, height: float, colour: str, lines: list[str]) -> None:
    """A rounded box with a bold first line."""
    figure.add_artist(
        FancyBboxPatch(
            (left, bottom),
            width,
            height,
            boxstyle="round,pad=0.004,rounding_size=0.012",
            facecolor="white",
            edgecolor=colour,
            lw=1.6,
            zorder=-1,
        )
    )
    for i, line in enumerate(lines):
        weight, size = ("bold", 11) if i == 0 else ("normal", 9)
        top = bottom + height - 0.085 - 0.085 * i
        figure.text(
            left + width / 2,
            top,
            line,
            ha="center",
            va="center",
            fontsize=size,
            weight=weight,
            color=colour if i == 0 else INK,
        )


def arrow(figure: Figure, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place to another."""
    figure.add_artist(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=15, lw=1.6, color=INK))


def main() -> None:
    """Write the picture beside this file."""
    case = phantom_case(3, SHAPE)
    # The phantoms are [X, Y, Z], left-right first.
    z = int(np.argmax((case.label > 0).sum(axis=(0, 1))))
    figure = Figure(figsize=(12, 3.9), facecolor="white")
    rng = np.random.default_rng(1)
    for i, (name, image) in enumerate(case.images.items()):
        row, column = divmod(i, 2)
        bottom = 0.52 - 0.47 * row
        picture(figure.add_axes((0.005 + 0.085 * column, bottom, 0.08, 0.38)), image[..., z].T, NAMES[name])
        hidden = hidden_cubes(image[..., z].T.astype(float), rng)
        picture(figure.add_axes((0.235 + 0.062 * i, 0.55, 0.058, 0.26)), hidden)
    box(figure, 0.225, 0.16, 0.26, 0.74, OURS, ["SSLPretrainTrainer"])
    for i, line in enumerate(
        [
            "no label is read;",
            "the network of your plans restores what is",
            "hidden of each modality (or SLeM, contrast …)",
        ]
    ):
        figure.text(0.355, 0.4 - 0.085 * i, line, ha="center", fontsize=9, color=INK)
    box(figure, 0.55, 0.36, 0.13, 0.34, INK, ["checkpoint", "the complete stock", "network"])
    box(figure, 0.745, 0.16, 0.25, 0.74, STOCK, ["stock nnU-Net"])
    figure.text(
        0.87, 0.2, "nnUNetv2_train … -pretrained_weights", ha="center", fontsize=8.5, family="monospace", color=INK
    )
    flair = list(case.images.values())[-1][..., z].T
    axis = figure.add_axes((0.8, 0.27, 0.14, 0.5))
    picture(axis, flair)
    labels = np.ma.masked_equal(case.label[..., z].T, 0)
    axis.imshow(labels, cmap="autumn", alpha=0.55, origin="lower", interpolation="nearest")
    arrow(figure, (0.178, 0.53), (0.222, 0.53))
    arrow(figure, (0.492, 0.53), (0.546, 0.53))
    arrow(figure, (0.686, 0.53), (0.74, 0.53))
    figure.savefig(Path(__file__).with_name("chain.png"), dpi=110)


if __name__ == "__main__":
    main()
