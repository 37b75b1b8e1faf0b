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


def label_space(name: str, modalities: int) -> Tensor:
    """Table of SLeM's classes (methods.md 1, ours): row = label, column = block, entry = modality.

    Args:
        name: `injective`, `product` or `auto`: injective from four modalities on, product below.
        modalities: C.

    Raises:
        InputError: injective mosaics of fewer than four modalities do not exist.
    """
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
