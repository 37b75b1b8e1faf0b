"""Files that are written whole or not at all, and JSON."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Write `path` whole or not at all.

    Yields:
        A path beside it, with the same ending, to write to. It takes the place of `path` once the block has ended, and is
        removed if the block raises.

    Raises:
        OSError: it cannot be written; the error names `path`.
    """
    unfinished = path.with_name(f".unfinished-{os.getpid()}-{path.name}")
    try:
        yield unfinished
        # A full disk may show only now.
        with unfinished.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write `text` so that `path` holds either what it held before or all of it."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(content: Any, path: Path) -> None:
    """Write `content` as `write_text` does."""
    write_text(path, json.dumps(content, indent=4))


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
