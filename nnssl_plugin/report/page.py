"""A page of results in one file: no scripts, nothing fetched, pictures inside."""

import base64
import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

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
td.number, th.number { text-align: right; white-space: nowrap; }
code { font: .82rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
pre { background: var(--ground); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; overflow-x: auto; }
figure { margin: .8rem 0 0; }
img { max-width: 100%; height: auto; display: block; }
summary { cursor: pointer; color: var(--accent); margin-top: .8rem; }
a { color: var(--accent); }
"""


def page(title: str, subtitle: str, *parts: str) -> str:
    """A whole page; `parts` are HTML, `title` and `subtitle` are text."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = f'<h1>{escape(title)}</h1><p class="soft">{escape(subtitle)}</p>' + "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n'
        f"<body><main>{body}</main></body></html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A titled part of the page; `parts` are HTML."""
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def details(title: str, *parts: str) -> str:
    """HTML that shows once its title is clicked."""
    return f"<details><summary>{escape(title)}</summary>{''.join(parts)}</details>"


def columns(*parts: str) -> str:
    """HTML side by side where the window is wide enough."""
    return f'<div class="columns">{"".join(f"<div>{part}</div>" for part in parts)}</div>'


def facts(values: Sequence[tuple[str, str]]) -> str:
    """Figures that stand out, each with what it counts."""
    cells = "".join(
        f'<div class="fact"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in values
    )
    return f'<div class="facts">{cells}</div>'


def paragraph(text: str, kind: str = "") -> str:
    """Text; `kind` is `soft` or `note`."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table of text; the columns `numbers` are aligned to the right. Cells that begin with a tag are HTML."""

    def cell(tag: str, column: int, text: str) -> str:
        content = text if re.match("<[a-z]", text) else escape(text)
        kind = ' class="number"' if column in numbers else ""
        return f"<{tag}{kind}>{content}</{tag}>"

    lines = [("th", header), *(("td", row) for row in rows)]
    return (
        '<div class="wide"><table>'
        + "".join(f"<tr>{''.join(cell(tag, i, text) for i, text in enumerate(row))}</tr>" for tag, row in lines)
        + "</table></div>"
    )


def picture(source: Figure | Path, caption: str, width: int | None = None) -> str:
    """A matplotlib figure or a PNG file, inside the page; `width`: most pixels it may take."""
    if isinstance(source, Path):
        png = source.read_bytes()
    else:
        buffer = io.BytesIO()
        source.savefig(buffer, format="png", dpi=144)
        png = buffer.getvalue()
    data = base64.b64encode(png).decode()
    limit = f' style="max-width: min(100%, {width}px)"' if width else ""
    return (
        f'<figure><img{limit} src="data:image/png;base64,{data}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
