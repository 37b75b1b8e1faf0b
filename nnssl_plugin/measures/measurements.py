"""What was measured of a pretext, as data for a report."""

from dataclasses import dataclass

from torch import Tensor

from nnssl_plugin.plots.example import Example


@dataclass
class CompletePatch:
    """A patch whose modalities are all there: `[C, *P]`, `[1, *P]` (bool) and the index of its patient."""

    image: Tensor
    foreground: Tensor
    patient: int


@dataclass
class PretextMeasurements:
    """What was measured of a pretext.

    Attributes:
        means: of every loss part and metric, chance beside it as `NAME_chance`, and the measures over many batches.
        patches: number of patches measured on.
        effective_rank: of the lowest trained stage, pooled, of whole patches; `rank_limit`: the highest it could be.
        features: `[N, F]`, the same of one-modality views; of each its patient and modality.
        examples: by objective.
        complete: for a picture of denormalisation; none if no patch had all modalities.
    """

    means: dict[str, float]
    patches: int
    effective_rank: float
    rank_limit: int
    features: Tensor
    patients: list[int]
    modalities: list[str]
    examples: dict[str, Example]
    complete: CompletePatch | None
