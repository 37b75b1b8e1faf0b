from itertools import permutations, product

import torch
from torch import Tensor

from nnssl_plugin.errors import InputError

BLOCKS = 4


def injective_labels(modalities: int) -> Tensor:
    """Every mosaic whose four blocks come from four different modalities; needs at least four of them.

    Returns:
        `[K, 4]`, the modality of each block, K = C!/(C-4)!.
    """
    return torch.tensor(list(permutations(range(modalities), BLOCKS)))


def product_labels(modalities: int) -> Tensor:
    """Every mosaic, repetition allowed.

    Returns:
        `[C⁴, 4]`, the modality of each block.
    """
    return torch.tensor(list(product(range(modalities), repeat=BLOCKS)))


def max_hamming_labels(modalities: int, count: int) -> Tensor:
    """`count` mosaics any two of which differ in as many blocks as possible.

    A lexicode (Conway & Sloane, IEEE Trans. Inf. Theory 1986): in order, every mosaic that differs from those taken in at
    least d blocks, for the largest d that yields enough of them.

    Returns:
        `[count, 4]`, the modality of each block.
    """
    candidates = product_labels(modalities)
    chosen = candidates[:0]
    for distance in range(BLOCKS, 0, -1):
        chosen = candidates[:1]
        for candidate in candidates[1:]:
            if ((chosen != candidate).sum(dim=1) >= distance).all():
                chosen = torch.cat([chosen, candidate[None]])
        if len(chosen) >= count:
            break
    return chosen[:count]


def label_space(name: str, modalities: int, count: int | None = None) -> Tensor:
    """Table of SLeM's classes (methods.md 1, ours): row = label, column = block, entry = modality.

    Args:
        name: `injective`, `product`, `max_hamming` or `auto`: injective from four modalities on, product below.
        modalities: C.
        count: labels of `max_hamming`, C² by default.

    Raises:
        InputError: injective mosaics of fewer than four modalities do not exist; more labels than there are mosaics, or
            fewer than two; a count for a space that has its own.
    """
    if name == "max_hamming":
        count = modalities**2 if count is None else count
        if not 2 <= count <= modalities**BLOCKS:
            raise InputError(
                f"pretraining.objectives.slem.label_count {count}: 2 to {modalities**BLOCKS} mosaics of {modalities} "
                "modalities can be told apart"
            )
        return max_hamming_labels(modalities, count)
    if count is not None:
        raise InputError(f"pretraining.objectives.slem.label_count is for label_space max_hamming, not {name}")
    if name == "auto":
        name = "injective" if modalities >= BLOCKS else "product"
    if name == "product":
        return product_labels(modalities)
    if modalities < BLOCKS:
        raise InputError(
            f"label_space 'injective' fills four blocks from four different modalities; the data set has {modalities}. "
            "Use 'product'."
        )
    return injective_labels(modalities)
