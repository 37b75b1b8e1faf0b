from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import Features, Views


@dataclass
class Example:
    """What an objective made of one batch, to be looked at.

    Attributes:
        objective: the plot beside it knows which.
        features: of its views, by name.
        views: that it drew.
        batch: that it drew them from.
    """

    objective: Any
    features: Mapping[str, Features]
    views: Views
    batch: PretrainingBatch
