"""File names whose bytes are not UTF-8 (Latin-1, mostly): Python reads them, SimpleITK and a terminal do not."""

import os


def is_utf8(text: str) -> bool:
    """Whether a name or path, as Python gives it, can be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(text: str | os.PathLike[str]) -> str:
    r"""The text, with `\xfc` for every byte that is not UTF-8."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")
