from itertools import product

import torch
from torch import Tensor

from nnssl_plugin.errors import InputError

BLOCKS = 4


def different_modalities(labels: Tensor) -> Tensor:
    """How many different modalities each label shows.

    Shape: `[K, 4]` → `[K]`.
    """
    ordered = labels.sort(dim=1).values
    return 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(dim=1)


def product_labels(modalities: int) -> Tensor:
    """Every mosaic, repetition allowed.

    Returns:
        `[C⁴, 4]`, the modality of each block.
    """
    return torch.tensor(list(product(range(modalities), repeat=BLOCKS)))


def max_hamming_labels(modalities: int, count: int) -> Tensor:
    """`count` mosaics any two of which differ in many blocks; of C² every modality is as frequent in every block.

    The largest distance at which one of these codes has enough words: for an odd C, the linear code (a, b, a+b, a+2b) mod C
    of distance 3, which no code of C² words exceeds; else a lexicode (Conway & Sloane, IEEE Trans. Inf. Theory 1986).

    Returns:
        `[count, 4]`, the modality of each block.
    """
    for distance in range(BLOCKS, 0, -1):
        code = _linear_code(modalities) if distance == 3 and modalities % 2 else _lexicode(modalities, distance)
        if len(code) >= count:
            break
    return _balanced(code, modalities, count)


def _linear_code(modalities: int) -> Tensor:
    a, b = product_labels(modalities)[: modalities**2, 2:].T
    return torch.stack([a, b, (a + b) % modalities, (a + 2 * b) % modalities], dim=1)


def _lexicode(modalities: int, distance: int) -> Tensor:
    """In order, every mosaic that differs from those taken in at least `distance` blocks."""
    candidates = product_labels(modalities)
    chosen = candidates[:1]
    for candidate in candidates[1:]:
        if ((chosen != candidate).sum(dim=1) >= distance).all():
            chosen = torch.cat([chosen, candidate[None]])
    return chosen


def _balanced(code: Tensor, modalities: int, count: int) -> Tensor:
    """`count` words, each the first whose modalities were taken least in their blocks so far."""
    taken = torch.zeros(BLOCKS, modalities, dtype=torch.long)
    blocks = torch.arange(BLOCKS)
    left = list(range(len(code)))
    chosen = []
    for _ in range(count):
        index = left.pop(int(taken[blocks, code[left]].square().sum(dim=1).argmin()))
        taken[blocks, code[index]] += 1
        chosen.append(index)
    return code[chosen]


def label_space(name: str, modalities: int, count: int | None = None) -> Tensor:
    """Table of SLeM's classes (methods.md 1, ours): row = label, column = block, entry = modality.

    The injective space has the table of the product; which of its labels a case can have says `possible_labels`.

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
                "modalities are possible"
            )
        return max_hamming_labels(modalities, count)
    if count is not None:
        raise InputError(f"pretraining.objectives.slem.label_count is for label_space max_hamming, not {name}")
    if is_injective(name, modalities) and modalities < BLOCKS:
        raise InputError(
            f"pretraining.objectives.slem.label_space 'injective' fills four blocks from four different modalities; the "
            f"data set has {modalities}. Use 'product'"
        )
    return product_labels(modalities)


def is_injective(name: str, modalities: int) -> bool:
    """Whether the label space `name` is the injective one."""
    return name == "injective" or (name == "auto" and modalities >= BLOCKS)


def possible_labels(labels: Tensor, present: Tensor, injective: bool) -> Tensor:
    """Which mosaics each case can show: those of modalities it has.

    In the injective space a case shows as many different ones as it can, so one that lacks some repeats others.

    Shape: `[K, 4]`, `[B, C]` (bool) → `[B, K]`.
    """
    possible = present[:, labels].all(dim=2)
    if injective:
        possible &= different_modalities(labels) == present.sum(dim=1, keepdim=True).clamp(max=BLOCKS)
    return possible
