from collections.abc import Collection, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


def drawn(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int]) -> str:
    """A table as wide as the terminal allows; the columns `numbers` are aligned to the right."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, title in enumerate(header):
        table.add_column(Text(title), justify="right" if i in numbers else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    with console.capture() as text:
        console.print(table)
    return text.get().rstrip("\n")
