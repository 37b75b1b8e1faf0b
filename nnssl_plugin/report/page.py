"""A page of results in one file: no scripts, nothing fetched, pictures inside.

The HTML stands in `page.html.jinja`. What is `Markup` is HTML and stays as it is; every other string is text and is escaped. All functions
here return `Markup`.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from matplotlib.figure import Figure


@cache
def _macros() -> Any:
    environment = Environment(loader=PackageLoader("nnssl_plugin", "report"), autoescape=True)
    return environment.get_template("page.html.jinja").module


def _made(macro: str, *arguments: Any) -> Markup:
    return Markup(getattr(_macros(), macro)(*arguments))


def page(title: str, subtitle: str, *parts: str) -> Markup:
    """A whole page."""
    return _made("page", title, subtitle, parts)


def joined(parts: Iterable[str], between: str = "") -> Markup:
    """Parts of a page one after the other; `str.join` would forget which of them are HTML."""
    return Markup(between).join(parts)


def section(title: str, *parts: str) -> Markup:
    """A titled part of the page."""
    return _made("section", title, parts)


def details(title: str, *parts: str) -> Markup:
    """What shows once its title is clicked."""
    return _made("details", title, parts)


def columns(*parts: str) -> Markup:
    """Parts side by side where the window is wide enough."""
    return _made("columns", parts)


def facts(values: Sequence[tuple[str, str]]) -> Markup:
    """Numbers that stand out, each with what it counts."""
    return _made("facts", values)


def paragraph(text: str, kind: str = "") -> Markup:
    """Text; `kind` is `soft`, `note` or, for words that are marked, `reading`."""
    return _made("paragraph", text, kind)


def code(text: str) -> Markup:
    """A command or a name, within a line."""
    return _made("code", text)


def marked(text: str, number: int, colour: str, note: str) -> Markup:
    """A word underlined in a colour, with a number; `note` shows under the pointer."""
    return _made("marked", text, number, colour, note)


def listing(text: str) -> Markup:
    """Several lines of code or of a file, as they are."""
    return _made("listing", text)


def link(target: str, text: str) -> Markup:
    """A link to a file beside the page."""
    return _made("link", target, text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> Markup:
    """A table; the columns `numbers` are aligned to the right."""
    return _made("table", header, rows, numbers)


def picture(source: Figure | Path, caption: str, width: int | None = None) -> Markup:
    """A matplotlib figure or a PNG file, inside the page; `width`: most pixels it may take."""
    if isinstance(source, Path):
        png = source.read_bytes()
    else:
        buffer = io.BytesIO()
        source.savefig(buffer, format="png", dpi=144)
        png = buffer.getvalue()
    return _made("picture", base64.b64encode(png).decode(), caption, width)
