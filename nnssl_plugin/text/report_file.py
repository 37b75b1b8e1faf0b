"""The report of a case: a text file beside its images."""

import zlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.text.hashed_words import hashed_words, words_of

# Name of the report among the files of a case.
REPORT = "report"
# Words of a report that are read; longer ones are cut, which is said before training.
LENGTH = 128


def read_report(path: Path) -> str:
    """The text.

    Raises:
        InputError: it cannot be read or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error}): save it as text in UTF-8") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from None


def report_words(record: CaseRecord) -> Mapping[str, Tensor]:
    """Side data of a case: its `words` `[LENGTH]`, 0 where it has no report, and a number of its `text`, the same for equal texts."""
    file = record.files.get(REPORT)
    text = read_report(file) if file else ""
    number = zlib.crc32(" ".join(words_of(text)).encode())
    return {"words": torch.from_numpy(hashed_words(text, LENGTH)), "text": torch.tensor(number, dtype=torch.int64)}
