"""Measures over many batches at once, by objective."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.measures.histogram_shortcut import HistogramShortcut
from nnssl_plugin.objectives.objective import Features, Views


class Measure(Protocol):
    """As in torchmetrics: `update` with every batch, `compute` once."""

    def update(self, features: Mapping[str, Features], views: Views, batch: PretrainingBatch) -> None:
        """Take a batch along."""

    def compute(self) -> dict[str, float]:
        """The measures, by name."""


# Name of an objective → measure of it; most have none.
MEASURES: dict[str, Callable[[Any], Measure]] = {"slem": HistogramShortcut}
