from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class CaseRecord:
    """One preprocessed case, as the loader must know it before it draws patches.

    Attributes:
        case: its name. patient: its patient's. file: the image, `[C, *S]`, blosc2.
        present: `[C]`, which modalities are there: a constant channel is missing.
        background: `[C]`, value of the constant background, NaN where there is none.
        foreground_voxels: how many voxels are foreground.
        locations: `[L, 3]`, a uniform sample of them; or the file that holds it, for `read_locations`.
        mean, std: `[C]`; quantiles: `[C, Q]` of the foreground of each modality; 0 where it is missing.
        table: the case's row of the data set's table: column → text.
        files: what belongs to the case beside its images, like a report: name → file.
    """

    case: str
    patient: str
    file: Path
    present: np.ndarray
    background: np.ndarray
    foreground_voxels: int
    locations: np.ndarray | Path
    mean: np.ndarray
    std: np.ndarray
    quantiles: np.ndarray
    table: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    def read_locations(self) -> np.ndarray:
        """The sample of foreground voxels. Of many cases together it is too much to keep."""
        if isinstance(self.locations, Path):
            with np.load(self.locations) as arrays:
                locations: np.ndarray = arrays["locations"]
            return locations
        return self.locations
