"""The report of a case: a text file next to its images."""

import unicodedata
from pathlib import Path

from nnssl_plugin.errors import InputError

# Among the files of a case.
REPORT = "report"
# What stands in a text where a character was lost before it came here.
REPLACEMENT = "\ufffd"


def read_report(file: Path) -> str:
    """Text of a report, without blanks around it.

    Raises:
        InputError: it cannot be read, is binary, is not UTF-8, or holds no letter or digit.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{file}: the report cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: the report is not UTF-8 ({error.reason}): save it as UTF-8 text") from None
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n\r\f" for character in text):
        raise InputError(f"{file}: the report holds control characters: it is binary, a text file is expected")
    if not any(character.isalnum() for character in text):
        raise InputError(f"{file}: the report is empty")
    return text.strip()


def identity_of(text: str) -> str:
    """What two reports share that say the same, letter case and blanks apart."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
