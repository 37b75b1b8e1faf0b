"""A page of results in one file: no scripts, nothing fetched, pictures inside.

What is `Markup` (MarkupSafe) is HTML and stays as it is; every other string is text and is escaped. All functions here
return `Markup`.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup, escape
from matplotlib.figure import Figure

STYLE = """
:root { --ink: #1d2733; --soft: #5b6875; --line: #dde3e9; --ground: #f6f8fa; --accent: #0b63a5; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2.2rem 1.5rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 0 0 .7rem; }
p { margin: .5rem 0; max-width: 76ch; }
section { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1.3rem 1.5rem; margin-top: 1.2rem; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.note { border-left: 4px solid #d99a00; background: #fff8e6; padding: .6rem 1rem; max-width: none; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: .8rem; margin-top: 1.2rem; }
.fact { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem; }
.fact b { display: block; font-size: 1.35rem; }
.fact span { color: var(--soft); font-size: .88rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1.5rem; align-items: start; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); font-size: .82rem; }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
code { font: .82rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { background: var(--ground); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; overflow-x: auto; }
figure { margin: .8rem 0 0; }
img { max-width: 100%; height: auto; display: block; }
summary { cursor: pointer; color: var(--accent); margin-top: .8rem; }
a { color: var(--accent); }
"""


def page(title: str, subtitle: str, *parts: str) -> Markup:
    """A whole page."""
    return Markup(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>{title}</title><style>{style}</style></head>\n"
        '<body><main><h1>{title}</h1><p class="soft">{subtitle}</p>{parts}</main></body></html>\n'
    ).format(title=title, style=Markup(STYLE), subtitle=subtitle, parts=joined(parts, "\n"))


def joined(parts: Iterable[str], between: str = "") -> Markup:
    """Parts of a page one after the other; `str.join` would forget which of them are HTML."""
    return Markup(between).join(parts)


def section(title: str, *parts: str) -> Markup:
    """A titled part of the page."""
    return Markup("<section><h2>{}</h2>{}</section>").format(title, joined(parts))


def details(title: str, *parts: str) -> Markup:
    """What shows once its title is clicked."""
    return Markup("<details><summary>{}</summary>{}</details>").format(title, joined(parts))


def columns(*parts: str) -> Markup:
    """Parts side by side where the window is wide enough."""
    return Markup('<div class="columns">{}</div>').format(joined(Markup("<div>{}</div>").format(one) for one in parts))


def facts(values: Sequence[tuple[str, str]]) -> Markup:
    """Numbers that stand out, each with what it counts."""
    cells = (Markup('<div class="fact"><b>{}</b><span>{}</span></div>').format(value, what) for value, what in values)
    return Markup('<div class="facts">{}</div>').format(joined(cells))


def paragraph(text: str, kind: str = "") -> Markup:
    """Text; `kind` is `soft` or `note`."""
    return Markup('<p class="{}">{}</p>').format(kind, text) if kind else Markup("<p>{}</p>").format(text)


def code(text: str) -> Markup:
    """A command or a name, within a line."""
    return Markup("<code>{}</code>").format(text)


def listing(text: str) -> Markup:
    """Several lines of code or of a file, as they are."""
    return Markup("<pre><code>{}</code></pre>").format(text)


def link(target: str, text: str) -> Markup:
    """A link to a file beside the page."""
    return Markup('<a href="{}">{}</a>').format(target, text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> Markup:
    """A table; the columns `numbers` are aligned to the right."""

    def line(tag: str, cells: Sequence[str]) -> Markup:
        start = [Markup(f'<{tag} class="number">' if column in numbers else f"<{tag}>") for column in range(len(cells))]
        return Markup("<tr>{}</tr>").format(
            joined(opening + escape(cell) + Markup(f"</{tag}>") for opening, cell in zip(start, cells, strict=True))
        )

    lines = [line("th", header), *(line("td", row) for row in rows)]
    return Markup('<div class="wide"><table>{}</table></div>').format(joined(lines))


def picture(source: Figure | Path, caption: str, width: int | None = None) -> Markup:
    """A matplotlib figure or a PNG file, inside the page; `width`: most pixels it may take."""
    if isinstance(source, Path):
        png = source.read_bytes()
    else:
        buffer = io.BytesIO()
        source.savefig(buffer, format="png", dpi=144)
        png = buffer.getvalue()
    limit = Markup(' style="max-width: min(100%, {}px)"').format(width) if width else ""
    return Markup(
        '<figure><img{limit} src="data:image/png;base64,{data}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    ).format(limit=limit, data=base64.b64encode(png).decode(), caption=caption)
