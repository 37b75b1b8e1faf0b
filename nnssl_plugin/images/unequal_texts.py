from collections.abc import Sequence

import numpy as np


def unequal_texts(first: Sequence[float] | float, second: Sequence[float] | float, digits: int = 6) -> tuple[str, str]:
    """Both, a number or several each, with as many digits as it takes to see that they differ, but at least `digits`."""
    texts = ("", "")
    for precision in range(digits, 18):
        texts = _text(first, precision), _text(second, precision)
        if texts[0] != texts[1]:
            break
    return texts


def _text(value: Sequence[float] | float, digits: int) -> str:
    if isinstance(value, Sequence | np.ndarray):
        return "(" + ", ".join(f"{float(one):.{digits}g}" for one in value) + ")"
    return f"{float(value):.{digits}g}"
