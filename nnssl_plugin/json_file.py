import json
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError


def read_json(path: Path) -> Any:
    """Content of a JSON file.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}") from None
