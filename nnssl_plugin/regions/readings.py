"""Where the words of a report, or another modality, look among the selected regions of an image."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from nnssl_plugin.objectives.region_interaction import Parts, attention
from nnssl_plugin.regions.case_regions import CaseRegions
from nnssl_plugin.text.words import Word


@dataclass(frozen=True)
class Reading:
    """`attention` `[R]` of what is called `title`, over the regions of an image; sums to 1. `file`: name for its maps."""

    title: str
    file: str
    attention: npt.NDArray[np.float64]


@torch.no_grad()
def attended(queries: Parts, regions: CaseRegions) -> npt.NDArray[np.float64]:
    """`[L, R]`, where each query of one report or image looks."""
    found = attention(queries.vectors, regions.parts.vectors, regions.parts.weights)[0, 0]
    return np.asarray(found.double().cpu().numpy())


def of_words(each: npt.NDArray[np.float64], words: Sequence[Word]) -> list[Reading]:
    """Of every word, the mean of its tokens. `each`: `[L, R]`, of the tokens."""
    return [
        Reading(word.text, f"word_{number:03d}_{_plain(word.text)}", each[list(word.tokens)].mean(axis=0))
        for number, word in enumerate(words, start=1)
    ]


def of_sentences(each: npt.NDArray[np.float64], words: Sequence[Word]) -> list[Reading]:
    """Of every sentence, the mean of its words' tokens."""
    readings = []
    for number in sorted({word.sentence for word in words}):
        own = [word for word in words if word.sentence == number]
        tokens = [token for word in own for token in word.tokens]
        title = " ".join(word.text for word in own)
        readings.append(Reading(title, f"sentence_{number + 1:02d}", each[tokens].mean(axis=0)))
    return readings


def _plain(text: str) -> str:
    return re.sub(r"\W+", "", text)[:24] or "sign"
