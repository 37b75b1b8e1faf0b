from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor


def show_slices(rows: Sequence[Tensor], titles: Sequence[Sequence[str]], plane: tuple[int, int]) -> Figure:
    """Middle slices in a grid; rows of one image are wrapped to four a line.

    Args:
        rows: each `[M, *P]`, M images shown side by side with a common grey scale.
        titles: title of each image of each row.
        plane: the two spatial axes shown.
    """
    images = [
        [(image, title, _grey_scale(row)) for image, title in zip(row, names, strict=True)]
        for row, names in zip(rows, titles, strict=True)
    ]
    if all(len(line) == 1 for line in images):
        images = [[line[0] for line in images[i : i + 4]] for i in range(0, len(images), 4)]
    columns = max(len(line) for line in images)
    figure = Figure(figsize=(2.4 * columns, 2.7 * len(images)), layout="constrained")
    axes = figure.subplots(len(images), columns, squeeze=False)
    for line, line_axes in zip(images, axes, strict=True):
        for axis in line_axes:
            axis.axis("off")
        for (image, title, (least, most)), axis in zip(line, line_axes, strict=False):
            others = [a for a in range(image.ndim) if a not in plane]
            for a in others:
                image = image.movedim(a, 0)[image.shape[a] // 2]
            axis.imshow(image.detach().float().cpu().numpy(), cmap="gray", vmin=least, vmax=most)
            axis.set_title(title, fontsize=7)
    return figure


def _grey_scale(images: Tensor) -> tuple[float, float]:
    """Black and white of `images`, without the few darkest and brightest voxels, which would take all the contrast."""
    least, most = np.quantile(images.detach().float().cpu().numpy(), (0.002, 0.998))
    return float(least), float(most)
