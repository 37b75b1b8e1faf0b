"""Texts as rows of token numbers, cut at a sentence where they are too long."""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

# A full stop of another script needs no blank behind it.
SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？।])|\n+")

# Text → its tokens, uncut.
Encode = Callable[[str], Sequence[int]]


def cut_at_sentence(text: str, context: int, encode: Encode) -> Sequence[int]:
    """Tokens of the sentences, from the first on, that fit `context` together; of the first one, as many as fit."""
    return encode(fitting_text(text, context, encode))[:context]


def fitting_text(text: str, context: int, encode: Encode) -> str:
    """The sentences, from the first on, that fit `context` together; the first one where none does."""
    if len(encode(text)) <= context:
        return text
    sentences = [sentence for sentence in SENTENCE_END.split(text) if sentence.strip()]
    # More sentences never have fewer tokens.
    fits = bisect_right(range(1, len(sentences)), context, key=lambda count: len(encode(" ".join(sentences[:count]))))
    return " ".join(sentences[: max(fits, 1)])


def pad(rows: Sequence[Sequence[int]], context: int, padding: int) -> tuple[Tensor, Tensor]:
    """`[B, context]`, int64, and whether there is a token (bool)."""
    tokens = torch.full((len(rows), context), padding)
    there = torch.zeros(len(rows), context, dtype=torch.bool)
    for row, numbers in enumerate(rows):
        tokens[row, : len(numbers)] = torch.tensor(numbers, dtype=torch.long)
        there[row, : len(numbers)] = True
    return tokens, there
