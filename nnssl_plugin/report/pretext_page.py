"""What a pre-training run learned, to look at: the page in its `validation` folder and the pictures it does not share."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from nnssl_plugin.objectives.mosaic import mosaic_axes
from nnssl_plugin.plots.slices import show_slices
from nnssl_plugin.pretraining.pretext_logger import CHANCE
from nnssl_plugin.report.page import page, paragraph, picture, section, table
from nnssl_plugin.transforms.denormalization import DenormalizationSettings, DenormalizationTransform

MODES = get_args(get_type_hints(DenormalizationSettings)["mode"])
MOST_PATIENTS_COLOURED = 10


def denormalization_picture(
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


def embedding_map(features: Tensor, patients: Sequence[int], modalities: Sequence[str]) -> Figure:
    """The first two principal components of pooled features, coloured by patient and by modality.

    Shape: `[N, F]`, one row per view of one modality; `patients` and `modalities` have N entries.
    """
    centred = (features - features.mean(dim=0)).double().cpu()
    _, _, axes = torch.linalg.svd(centred, full_matrices=False)
    points = (centred @ axes[:2].T).numpy()
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels = figure.subplots(1, 2)
    known = sorted(set(patients))[:MOST_PATIENTS_COLOURED]
    groups = {
        "patient": [(f"patient {i + 1}", np.array(patients) == p) for i, p in enumerate(known)],
        "modality": [(name, np.array(modalities) == name) for name in dict.fromkeys(modalities)],
    }
    for panel, (what, members) in zip(panels, groups.items(), strict=True):
        panel.scatter(*points.T, s=10, color="0.85")
        for label, rows in members:
            panel.scatter(*points[rows].T, s=18, label=label)
        panel.set_title(f"by {what}")
        panel.set_xlabel("first principal component")
        panel.set_ylabel("second")
        panel.legend(fontsize=7, ncols=2)
    return figure


def pretext_page(
    folder: Path, title: str, summary: Mapping[str, float], pictures: Mapping[str, str], settings: str
) -> str:
    """HTML of the page, everything inside.

    Args:
        folder: where the pictures are.
        title: of the page.
        summary: name → value; `NAME_chance` is shown beside NAME.
        pictures: file → what it shows; files that are not there are left out.
        settings: what ran, in a sentence.
    """
    rows = [
        [name, f"{value:.4f}", f"{summary[name + CHANCE]:.4f}" if name + CHANCE in summary else ""]
        for name, value in summary.items()
        if not name.endswith(CHANCE)
    ]
    shown = [
        section(caption.partition(":")[0], picture(folder / file, caption))
        for file, caption in pictures.items()
        if (folder / file).is_file()
    ]
    return page(
        title,
        "Measured on unaugmented patches of the training images, without a label.",
        section("Measures", paragraph(settings, "soft"), table(["measure", "value", "chance"], rows, numbers=[1, 2])),
        *shown,
    )
