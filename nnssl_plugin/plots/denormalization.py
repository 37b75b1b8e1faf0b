from collections.abc import Sequence
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from nnssl_plugin.data.mosaic_axes import mosaic_axes
from nnssl_plugin.plots.slices import show_slices
from nnssl_plugin.transforms.denormalization import DenormalizationSettings, DenormalizationTransform

MODES = get_args(get_type_hints(DenormalizationSettings)["mode"])


def plot_denormalization(
    transform: DenormalizationTransform, image: Tensor, foreground: Tensor, modalities: Sequence[str], patient: int
) -> Figure:
    """One patch before DAD, after it in every mode, and the target modality; a column per ordered pair of modalities.

    Shape: `[C, *P]` and `[1, *P]` (bool), of a patch whose C modalities are all there.
    """
    count = len(modalities)
    patches: dict[str, list[Tensor]] = {name: [] for name in ("source", *MODES, "target")}
    pairs = []
    for shift in range(1, count):
        target = np.roll(np.arange(count), -shift)
        drawn = transform.get_parameters(
            image=image, segmentation=foreground.int() - 1, present=np.ones(count, dtype=bool), patient=patient
        )
        others = transform.statistics.patient != patient
        donors = [np.flatnonzero(others & transform.statistics.present[:, t])[:1] for t in target]
        drawn |= {"target": target, "donors": donors}
        patches["source"] += list(image)
        patches["target"] += list(image[target])
        pairs += [f"{modalities[s]} → {modalities[t]}" for s, t in enumerate(target.tolist())]
        for mode in MODES:
            one = DenormalizationTransform(transform.statistics, replace(transform.settings, mode=mode))
            patches[mode] += list(one.apply({"image": image}, **drawn)["image"])
    rows = [torch.stack(images) for images in patches.values()]
    titles = [[f"{pair}\n{name}" for pair in pairs] for name in patches]
    return show_slices(rows, titles, plane=mosaic_axes(image.shape[1:]))
