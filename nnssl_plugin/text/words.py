"""The words and sentences of a text, and which of a text encoder's tokens they are made of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from nnssl_plugin.text.tokens import SENTENCE_END

WORD = re.compile(r"\S+")


@dataclass(frozen=True)
class Word:
    """What stands between blanks. `tokens`: numbers of its tokens; `sentence`: number of its sentence."""

    text: str
    tokens: tuple[int, ...]
    sentence: int

    @property
    def says_something(self) -> bool:
        """Whether there is a letter or digit in it."""
        return any(character.isalnum() for character in self.text)


def words_of(text: str, spans: Sequence[tuple[int, int]]) -> list[Word]:
    """The words of a text that have a token; a token of two words is the later one's.

    Args:
        text: all of it.
        spans: where each token begins and ends; blanks at its ends do not count.
    """
    words = list(WORD.finditer(text))
    ends = [found.end() for found in SENTENCE_END.finditer(text)]
    tokens: dict[int, list[int]] = {}
    for number, (_, end) in enumerate(spans):
        # The last character that is no blank.
        last = len(text[:end].rstrip()) - 1
        holder = next((i for i, word in enumerate(words) if word.start() <= last < word.end()), None)
        if holder is not None and end > 0:
            tokens.setdefault(holder, []).append(number)
    return [
        Word(words[i].group(), tuple(own), sum(end <= words[i].start() for end in ends))
        for i, own in sorted(tokens.items())
    ]
