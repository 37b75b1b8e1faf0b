from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

MOST_PATIENTS_COLOURED = 10


def plot_embedding_map(features: Tensor, patients: Sequence[int], modalities: Sequence[str]) -> Figure:
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
