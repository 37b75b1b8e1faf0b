"""How far a histogram alone gets in SLeM: the baseline for its shortcut (methods.md 1, ours)."""

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.label_space import BLOCKS
from nnssl_plugin.objectives.mosaic import block_map
from nnssl_plugin.objectives.objective import Features, Views
from nnssl_plugin.objectives.slem import SLeM

PROBABILITIES = np.linspace(0.05, 0.95, 10)
# A block with less foreground than this has no histogram to speak of.
FEWEST_VOXELS = 16
FOLDS = 4
# The least log-probability, and that of a modality that none of the fitted blocks shows.
UNSEEN = -20.0


class HistogramShortcut:
    """How many blocks are named from their histograms alone, and how many more by SLeM's head, over many batches.

    Args:
        objective: whose mosaics are looked at.
    """

    def __init__(self, objective: SLeM) -> None:
        self.objective = objective
        self.rows: list[tuple[Tensor, ...]] = []

    def update(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> None:
        """Take the mosaics of a batch along."""
        blocks = block_map(batch.patch_size, self.objective.settings.gap)
        mosaics, valid = views.images["mosaic"][:, 0].float().cpu(), views.targets["valid"].cpu()
        named = self.objective.logits(features, views).argmax(dim=1)
        rows = (
            block_histograms(mosaics, batch.foreground[:, 0].cpu(), blocks),
            views.targets["label"].cpu(),
            views.targets["possible"].cpu(),
            named.cpu(),
        )
        self.rows.append(tuple(row[valid] for row in rows))

    def compute(self) -> dict[str, float]:
        """Accuracy from histograms alone, and what the head adds to it; NaN where there is too little to tell."""
        labels = self.objective.labels.cpu()
        histograms, label, possible, named = (torch.cat(rows) for rows in zip(*self.rows, strict=True))
        accuracy = histogram_accuracy(histograms, label, possible, labels)
        head = float((labels[named] == labels[label]).float().mean())
        return {"histogram_block_accuracy": accuracy, "block_accuracy_beyond_histogram": head - accuracy}


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


def histogram_accuracy(histograms: Tensor, label: Tensor, possible: Tensor, labels: Tensor) -> float:
    """Share of blocks told from their histograms alone, as a head that sees nothing else would tell them.

    A logistic regression scores each block's modality, and the scores of a label's blocks are summed, as in the head.
    It is fitted to other mosaics, but of the same patients, as the head has seen those too; it names every block, also
    those without foreground.

    Shape: `[N, 4, S]`, `[N]`, `[N, K]` (bool, labels a mosaic could have), `[K, 4]`. NaN where there are fewer than two
    mosaics or modalities.
    """
    truth = labels[label].numpy()
    if len(truth) < 2 or len(np.unique(truth)) < 2:
        return float("nan")
    features = histograms.numpy()
    known = np.isfinite(features).all(axis=2)
    scores = np.zeros((*truth.shape, int(labels.max()) + 1))
    for fitted, named in KFold(min(FOLDS, len(truth)), shuffle=True, random_state=0).split(truth):
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        rows, modalities = features[fitted][known[fitted]], truth[fitted][known[fitted]]
        if len(np.unique(modalities)) < 2 or not known[named].any():
            continue
        classifier.fit(rows, modalities)
        found = np.full((int(known[named].sum()), scores.shape[2]), UNSEEN)
        found[:, classifier.classes_] = np.maximum(classifier.predict_log_proba(features[named][known[named]]), UNSEEN)
        which, block = np.nonzero(known[named])
        scores[named[which], block] = found
    summed = torch.from_numpy(scores)[:, torch.arange(BLOCKS), labels].sum(dim=2)
    named_label = summed.masked_fill(~possible, -torch.inf).argmax(dim=1)
    return float((labels[named_label] == labels[label]).double().mean())
