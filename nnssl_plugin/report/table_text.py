"""One table as plain text, CSV, Markdown and LaTeX."""

import csv
import io
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from nnssl_plugin.report.terminal_table import drawn

LATEX = {
    **{character: f"\\{character}" for character in "&%_#${}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"±": r"$\pm$", "−": "$-$", "<": "$<$", ">": "$>$", "³": "$^3$"},
}


@dataclass(frozen=True)
class Table:
    """Cells as text; `numbers`: columns that are aligned to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = field(default_factory=tuple)

    def text(self) -> str:
        """For standard output: drawn on a terminal, plain columns elsewhere."""
        if sys.stdout.isatty():
            return drawn(self.header, self.rows, self.numbers)
        lines = [self.header, *self.rows]
        widths = [max(len(row[i]) for row in lines) for i in range(len(self.header))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if i in self.numbers else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in lines
        )

    def without(self, *titles: str) -> "Table":
        """The table without some of its columns."""
        kept = [i for i, title in enumerate(self.header) if title not in titles]
        rows = [[row[i] for i in kept] for row in self.rows]
        return Table([self.header[i] for i in kept], rows, [new for new, old in enumerate(kept) if old in self.numbers])

    def csv(self) -> str:
        """Comma-separated."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.header, *self.rows])
        return text.getvalue()

    def markdown(self) -> str:
        """A pipe table."""

        def line(cells: Sequence[str]) -> str:
            # Markdown takes what looks like a tag for HTML.
            return "| " + " | ".join(re.sub(r"[|]|<(?=[a-zA-Z/!?])", r"\\\g<0>", cell) for cell in cells) + " |"

        rule = ["---:" if i in self.numbers else "---" for i in range(len(self.header))]
        return "\n".join([line(self.header), line(rule), *map(line, self.rows)]) + "\n"

    def latex(self) -> str:
        """A `tabular` with booktabs' rules."""

        def line(cells: Sequence[str]) -> str:
            return "  " + " & ".join("".join(LATEX.get(c, c) for c in cell) for cell in cells) + r" \\"

        columns = "".join("r" if i in self.numbers else "l" for i in range(len(self.header)))
        body = [line(self.header), r"  \midrule", *map(line, self.rows)]
        return (
            "\n".join([rf"\begin{{tabular}}{{{columns}}}", r"  \toprule", *body, r"  \bottomrule", r"\end{tabular}"])
            + "\n"
        )
