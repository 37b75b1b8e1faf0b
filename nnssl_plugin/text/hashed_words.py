"""Words as numbers without a vocabulary: nothing to learn, keep or ship with a checkpoint, and any language (ours)."""

import re
import zlib

import numpy as np
import numpy.typing as npt

# Numbers of words; 0 is the padding. Two of the few thousand words of some hundred reports rarely share one.
BUCKETS = 16384
WORDS = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Its words and numbers in lower case, without punctuation."""
    return WORDS.findall(text.lower())


def hashed_words(text: str, length: int) -> npt.NDArray[np.int64]:
    """`[length]`, a number from 1 on for each of the first words (hashing trick, Weinberger et al., ICML 2009), then 0."""
    numbers = [1 + zlib.crc32(word.encode()) % (BUCKETS - 1) for word in words_of(text)[:length]]
    return np.array([*numbers, *[0] * (length - len(numbers))], dtype=np.int64)
