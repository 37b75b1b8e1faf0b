"""A page of one case: the image, its selected regions, and the words coloured by the region they look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from nnssl_plugin.files import write_text
from nnssl_plugin.regions.readings import Reading
from nnssl_plugin.report.page import columns, joined, marked, page, paragraph, picture, section, table

# Those that are seen on grey and on white.
COLOURS = [to_hex(colormaps["tab10"](number)) for number in (1, 0, 2, 3, 4, 6, 8, 9)]
# A word is coloured if it looks at a region this many times as much as it would if it looked at all alike.
LEAST = 1.5


@dataclass
class View:
    """A slice of an image with its regions.

    Attributes:
        title: below it.
        image: `[Y, X]`, grey.
        outlines: number of a region → `[Y, X]`, bool, where it is in the slice; in the order of their numbers on the page.
        preference: `[Y, X]`, which positions the model prefers.
    """

    title: str
    image: npt.NDArray[np.uint8]
    outlines: dict[int, npt.NDArray]
    preference: npt.NDArray


@dataclass
class Shown:
    """What the page shows of a case.

    Attributes:
        case: its name.
        views: one, or one of each modality.
        words: of the report, if there is one.
        overlays: each sentence or modality, and its map over the image, `[Y, X, 3]`.
        notes: what must be known of this case.
    """

    case: str
    views: list[View]
    words: list[Reading]
    overlays: list[tuple[str, npt.NDArray[np.uint8]]]
    notes: list[str]


def write_regions_page(shown: Shown, folder: Path) -> Path:
    """Write `regions.html`."""
    explained = paragraph(
        f"The model selects regions of the image without being told where anything is, and compares them with {_other(shown)}. "
        "Preference: how likely it is to select a position. Attention does not prove that something is there: it is not a "
        "finding.",
        "soft",
    )
    parts = [section("How to read this", explained, *(paragraph(note, "note") for note in shown.notes))]
    parts += [section("Image and regions", *(picture(_figure(view), view.title) for view in shown.views))]
    if shown.words:
        words = paragraph(
            "A word has the colour and number of the region that it attends to most. A word without colour attends to "
            "all regions about equally, or to one outside the picture.",
            "soft",
        )
        parts.append(section("Report", words, _coloured(shown.words, shown.views[0])))
        parts.append(section("Regions", _regions(shown.words, shown.views[0])))
    maps = [picture(_map(pixels), title, width=380) for title, pixels in shown.overlays]
    scale = paragraph("Bright: high attention. Each map has its own scale.", "soft")
    parts.append(section("Sentences" if shown.words else "Modalities", scale, columns(*maps)))
    path = folder / "regions.html"
    write_text(path, str(page(f"Regions of {shown.case}", _counted(shown), *parts)))
    return path


def _other(shown: Shown) -> str:
    return "the words of the report" if shown.words else "those of the other modalities"


def _counted(shown: Shown) -> str:
    return ", ".join(f"{view.title}: {len(view.outlines)} regions" for view in shown.views)


def _numbers(view: View) -> dict[int, tuple[int, str]]:
    """Region → its number on the page and its colour."""
    return {region: (place + 1, COLOURS[place % len(COLOURS)]) for place, region in enumerate(view.outlines)}


def _coloured(words: Sequence[Reading], view: View) -> Markup:
    shown: list[str] = []
    known = _numbers(view)
    for word in words:
        region = int(word.attention.argmax())
        share = float(word.attention[region])
        if region not in known or share * len(word.attention) < LEAST:
            shown.append(word.title)
        else:
            number, colour = known[region]
            shown.append(marked(word.title, number, colour, f"{share:.0%} of its attention"))
    return paragraph(joined(shown, " "), "reading")


def _regions(words: Sequence[Reading], view: View) -> Markup:
    attention, rows = np.stack([word.attention for word in words]), []
    for region, (number, _) in _numbers(view).items():
        strongest = np.argsort(-attention[:, region])[:4]
        names = ", ".join(dict.fromkeys(words[i].title.strip(".,;:") for i in strongest))
        rows.append([str(number), f"{attention[:, region].mean():.0%}", names])
    return table(["region", "of the report's attention", "words that attend to it most"], rows, numbers=[1])


def _map(pixels: npt.NDArray[np.uint8]) -> Figure:
    figure = Figure(figsize=(3.6, 3.6 * pixels.shape[0] / pixels.shape[1]))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.imshow(pixels)
    axis.axis("off")
    return figure


def _figure(view: View) -> Figure:
    figure = Figure(figsize=(10.5, 3.9), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, title in zip(axes, ("image", "selected regions", "preference"), strict=True):
        axis.imshow(view.image, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=10)
        axis.axis("off")
    numbers = _numbers(view)
    for region, mask in view.outlines.items():
        if mask.any():
            number, colour = numbers[region]
            # With an edge around it, so that a region at the border is closed.
            padded = np.pad(mask.astype(float), 1)
            y, x = (np.arange(length + 2) - 1 for length in mask.shape)
            axes[1].contour(x, y, padded, [0.5], colors=[colour], linewidths=1.6)
            centre = np.argwhere(mask).mean(axis=0)
            axes[1].text(
                centre[1],
                centre[0],
                str(number),
                color=colour,
                fontsize=10,
                fontweight="bold",
                ha="center",
                va="center",
            )
    shade = axes[2].imshow(view.preference, cmap="inferno", alpha=0.5, vmin=0)
    bar = figure.colorbar(shade, ax=axes[2], shrink=0.8)
    bar.set_label("1: as likely as any other", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure
