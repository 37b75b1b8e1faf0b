from functools import lru_cache
from itertools import chain, permutations
from math import factorial

import numpy as np
import torch
from torch import Tensor


@lru_cache
def max_hamming_permutations(tiles: int, count: int) -> Tensor:
    """Permutations of `tiles` places that differ much from one another, the identity first.

    The greedy choice of Noroozi & Favaro (ECCV 2016, arXiv 1603.09246, algorithm 1): each is the one whose Hamming distance
    to those taken is the largest on average. Ours: it starts with the identity, not at random, and takes the first of equals.

    Returns:
        `[count, tiles]`, fewer rows where there are not so many permutations.
    """
    every = np.fromiter(chain.from_iterable(permutations(range(tiles))), np.int8).reshape(-1, tiles)
    distance = np.zeros(len(every), dtype=np.int64)
    chosen = [0]
    for _ in range(min(count, factorial(tiles)) - 1):
        distance += (every != every[chosen[-1]]).sum(axis=1)
        distance[chosen[-1]] = np.iinfo(np.int64).min // 2
        chosen.append(int(distance.argmax()))
    return torch.from_numpy(every[chosen].astype(np.int64))
