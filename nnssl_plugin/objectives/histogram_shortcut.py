"""How far a histogram alone gets in SLeM: the yardstick of its shortcut (methods.md 1, ours)."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from nnssl_plugin.objectives.label_space import BLOCKS

PROBABILITIES = np.linspace(0.05, 0.95, 10)
# A block with less foreground than this has no histogram to speak of.
FEWEST_VOXELS = 16
FOLDS = 4


def block_histograms(mosaic: Tensor, foreground: Tensor, blocks: Tensor) -> Tensor:
    """Mean, standard deviation and ten quantiles of the foreground of every block.

    Shape: `[B, *P]`, `[B, *P]` (bool), `[*P]` from `block_map` → `[B, 4, 12]`, float64; NaN where a block has next to no
    foreground.
    """
    rows = np.full((len(mosaic), BLOCKS, 2 + len(PROBABILITIES)), np.nan)
    for i in range(len(mosaic)):
        for block in range(BLOCKS):
            values = mosaic[i][foreground[i] & (blocks == block)].double().numpy()
            if len(values) >= FEWEST_VOXELS:
                rows[i, block] = [values.mean(), values.std(), *np.quantile(values, PROBABILITIES)]
    return torch.from_numpy(rows)


def histogram_accuracy(histograms: Tensor, modalities: Tensor, patients: Tensor) -> float:
    """Share of blocks whose modality a logistic regression tells from their histogram, on patients it was not fitted to.

    Shape: `[N, 4, S]`, `[N, 4]`, `[N]`. NaN where there are fewer than two patients or modalities.
    """
    rows = histograms.flatten(0, 1).numpy()
    known = np.isfinite(rows).all(axis=1)
    rows = rows[known]
    truth, groups = modalities.flatten().numpy()[known], patients.repeat_interleave(BLOCKS).numpy()[known]
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2 or len(np.unique(truth)) < 2:
        return float("nan")
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    guess = cross_val_predict(classifier, rows, truth, groups=groups, cv=GroupKFold(folds))
    return float((guess == truth).mean())
