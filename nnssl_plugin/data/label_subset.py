from collections.abc import Mapping, Sequence

import numpy as np


def label_subset(cases: Sequence[str], patients: Mapping[str, str], fraction: float, seed: int) -> list[str]:
    """The cases of a fraction of the patients: for one seed, a smaller fraction's cases are among a larger one's.

    The patients are shuffled once by the seed and the first max(1, round(fraction · n)) taken, with all their cases.

    Args:
        cases: to choose from; the order is kept.
        patients: case → patient.
        fraction: of the patients, 0 to 1.
        seed: of the shuffle.
    """
    everyone = sorted({patients[case] for case in cases})
    order = np.random.default_rng(seed).permutation(len(everyone))
    chosen = {everyone[i] for i in order[: max(1, round(fraction * len(everyone)))]}
    return [case for case in cases if patients[case] in chosen]
