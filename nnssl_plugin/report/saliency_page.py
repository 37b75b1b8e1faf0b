from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nnssl_plugin.classification.saliency_maps import SaliencyPicture
from nnssl_plugin.evaluation.predictions import Predictions
from nnssl_plugin.files import write_text
from nnssl_plugin.report.page import page, paragraph, picture, section

SHOWN = 12


def write_saliency_page(folder: Path, predictions: Predictions, pictures: Sequence[SaliencyPicture]) -> Path:
    """Write `saliency.html`: the most attended slice of the first cases, with every map on it."""
    explained = paragraph(
        "The slice with the most attention. Attention: how much a tile counts, 1 if all counted the same. Grad-CAM: where the "
        "evidence for a class lies; each map has a scale of its own. All cases are in the folder as NIfTI. What a network looked "
        "at does not prove why it decided.",
        "soft",
    )
    parts = [section("How to read this", explained)]
    for one in pictures[:SHOWN]:
        said = "; ".join(
            f"{column}: {predictions.predicted(one.case, column)} "
            f"({predictions.probabilities[one.case][column].max():.2f})"
            for column in predictions.columns
        )
        where = f". Slice {one.chosen + 1} of {len(one.by_slice)}" if len(one.by_slice) > 1 else ""
        parts.append(section(one.case, picture(_figure(one), said + where)))
    path = folder / "saliency.html"
    write_text(path, str(page("Attention of the classifier", f"{len(pictures)} cases", *parts)))
    return path


def _figure(one: SaliencyPicture) -> Figure:
    titles = ["image", *one.maps]
    # A map of attention that is the same everywhere in the slice says less than its course over the slices.
    over_slices = len(one.by_slice) > 1 and np.ptp(one.maps["attention"]) < 1e-3
    figure = Figure(figsize=(2.4 * len(titles), 2.8), layout="constrained")
    low, high = np.percentile(one.image, [1, 99])
    for axis, title in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, strict=True):
        if title == "attention" and over_slices:
            axis.plot(np.arange(1, len(one.by_slice) + 1), one.by_slice)
            axis.axvline(one.chosen + 1, linestyle=":", color="grey")
            axis.axhline(1, linestyle=":", color="grey", linewidth=0.8)
            axis.set_title("attention by slice", fontsize=9)
            axis.tick_params(labelsize=7)
            continue
        axis.imshow(one.image, cmap="gray", vmin=low, vmax=high)
        if title in one.maps:
            values = one.maps[title]
            axis.imshow(values, cmap="inferno", alpha=0.5, vmin=0, vmax=max(float(values.max()), 1e-6))
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    return figure
