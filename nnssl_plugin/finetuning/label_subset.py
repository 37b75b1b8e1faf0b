from collections.abc import Mapping

import numpy as np

from nnssl_plugin.errors import InputError


def label_subset(
    patients: Mapping[str, str], seed: int, *, fraction: float | None = None, count: int | None = None
) -> list[str]:
    """Cases of some of the patients, for training on few labels.

    The patients, sorted by name, are shuffled once by `seed` and the first of them taken: of one seed, the smaller subset
    is always inside the larger one.

    Args:
        patients: case → patient.
        seed: of the order of the patients.
        fraction: of the patients, in (0, 1]; at least one of them is taken.
        count: number of patients, in place of `fraction`.

    Returns:
        The cases, sorted.

    Raises:
        InputError: not exactly one of `fraction` and `count` is given, or it is out of range.
    """
    names = sorted(set(patients.values()))
    if (fraction is None) == (count is None):
        raise InputError("a label subset is given by a fraction or by a count of patients: one of the two")
    if fraction is not None and not 0 < fraction <= 1:
        raise InputError(f"label fraction {fraction}: a share of the patients above 0, at most 1, is needed")
    if count is not None and not 1 <= count <= len(names):
        raise InputError(
            f"label count {count}: there are {len(names)} patients to take from, and at least one is needed"
        )
    wanted = count if fraction is None else max(1, round(fraction * len(names)))
    order = np.random.default_rng(seed).permutation(len(names))
    taken = {names[i] for i in order[:wanted]}
    return sorted(case for case, patient in patients.items() if patient in taken)
