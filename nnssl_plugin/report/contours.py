"""Slices of a case with the outlines of its regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from nnssl_plugin.images.image_file import read_array
from nnssl_plugin.plots.style import shortened

# Outlines from the outermost region inwards, different on a grey image in lightness and in hue.
OUTLINE_COLOURS = ("#35c4f0", "#ffd400", "#ff4f7b", "#5ee04a", "#c08cff", "#ff9a2e", "#00e0b8", "#f2f2f2")
Regions = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class SegmentedCase:
    """`images`: modality → file. `segmentations`: title → file, the reference first. All on one grid."""

    name: str
    images: Mapping[str, Path]
    segmentations: Mapping[str, Path]


def show_segmentations(cases: Sequence[SegmentedCase], regions: Regions, background: str) -> Figure:
    """One row per case: its modalities, then `background` with the outlines of each segmentation.

    The slice is the axial one in which the outermost region of the reference is largest; of a flat image, the only one.

    Args:
        cases: with the same modalities and titles.
        regions: region → label values, outermost first.
        background: modality under the outlines.
    """
    width = len(cases[0].images) + len(cases[0].segmentations)
    figure = Figure(figsize=(1.6 * width, 1.95 * len(cases) + 0.35), layout="constrained")
    for row, (case, axes) in enumerate(zip(cases, figure.subplots(len(cases), width, squeeze=False), strict=True)):
        images = {modality: _volume(path) for modality, path in case.images.items()}
        segmentations = {title: _volume(path) for title, path in case.segmentations.items()}
        index = _largest_slice(next(iter(segmentations.values())), next(iter(regions.values())))
        for axis in axes:
            axis.axis("off")
        for axis, (modality, volume) in zip(axes, images.items(), strict=False):
            axis.imshow(volume[index], cmap="gray")
            axis.set_title(modality if row == 0 else "", fontsize=9)
        for axis, (title, volume) in zip(axes[len(images) :], segmentations.items(), strict=True):
            axis.imshow(images[background][index], cmap="gray")
            for values, colour in zip(regions.values(), cycle(OUTLINE_COLOURS), strict=False):
                mask = np.isin(volume[index], values)
                if mask.any():
                    axis.contour(mask, levels=[0.5], colors=colour, linewidths=1.2)
            axis.set_title(title if row == 0 else "", fontsize=9)
        axes[0].text(
            -0.06,
            0.5,
            shortened(case.name),
            fontsize=7,
            rotation=90,
            ha="right",
            va="center",
            transform=axes[0].transAxes,
        )
    figure.legend(
        handles=[
            figure.axes[0].plot([], [], color=colour, label=shortened(name))[0]
            for name, colour in zip(regions, cycle(OUTLINE_COLOURS), strict=False)
        ],
        loc="outside lower right",
        ncols=min(len(regions), width),
        fontsize=8,
        frameon=False,
    )
    return figure


def _volume(path: Path) -> npt.NDArray:
    """Voxels `[slices, rows, columns]`; an image that is one voxel thick along any axis is one slice."""
    voxels = read_array(path)
    if voxels.ndim == 2:
        return voxels[np.newaxis]
    return np.moveaxis(voxels, voxels.shape.index(1), 0) if 1 in voxels.shape else voxels


def _largest_slice(reference: npt.NDArray, values: Sequence[int]) -> int:
    """Index along the first axis; the middle one where the region is empty."""
    sizes = np.isin(reference, values).sum(axis=(1, 2))
    return int(sizes.argmax()) if sizes.any() else len(sizes) // 2
