"""Fill the tables of settings in the pages beside this file from the settings themselves: python docs/settings_tables.py.

A page says where a table stands, and of which settings: `<!-- settings: finetuning -->` … `<!-- end of settings -->`. What lies
between is replaced.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from nnssl_plugin.settings.settings import Settings

PAGES = Path(__file__).parent
TABLE = re.compile(r"(<!-- settings: (\S+) -->\n).*?(<!-- end of settings -->)", re.DOTALL)


def rows(section: Any, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Dotted name, default and description of every setting; a setting's description stands below it in the code.

    Raises:
        ValueError: a setting has no description.
    """
    for item in fields(section):
        name, default = prefix + item.name, getattr(section, item.name)
        if is_dataclass(default):
            yield from rows(default, f"{name}.")
            continue
        description = type(section).__pydantic_fields__[item.name].description
        if not description:
            raise ValueError(f"setting {name!r} has no description below it in {type(section).__qualname__}")
        yield name, default, " ".join(description.split()).removesuffix(".")


def table(prefix: str) -> str:
    """The table of all settings below `prefix`.

    Raises:
        ValueError: there are none, or as `rows`.
    """
    lines = [
        f"| `{name}` | {'none' if default is None else json.dumps(default)} | {_linked(text)} |"
        for name, default, text in rows(Settings())
        if name.startswith(f"{prefix}.")
    ]
    if not lines:
        raise ValueError(f"there are no settings below {prefix!r}")
    return "\n".join(["| setting | default | what it is |", "|---|---|---|", *lines, ""])


def filled(page: str) -> str:
    """The text of a page with its tables as they have to be."""
    return TABLE.sub(lambda found: f"{found[1]}{table(found[2])}{found[3]}", page)


def _linked(text: str) -> str:
    return re.sub(r"docs/([\w-]+\.md)", r"[\1](\1)", text)


def main() -> None:
    """Rewrite the pages whose tables have changed."""
    for file in sorted(PAGES.glob("*.md")):
        before = file.read_text(encoding="utf-8")
        if (after := filled(before)) != before:
            file.write_text(after, encoding="utf-8")
            print(file.name)


if __name__ == "__main__":
    main()
