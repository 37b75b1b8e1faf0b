import csv
import io

import pytest

from nnssl_plugin.report.table_text import Table

TABLE = Table(["run", "Dice"], [["pre_trained & more", "0.5"], ["a, b|c", "<0.25"]], numbers=[1])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_text_is_aligned() -> None:
    assert TABLE.text().splitlines() == [
        "run                  Dice",
        "pre_trained & more    0.5",
        "a, b|c              <0.25",
    ]


def test_csv_is_read_back() -> None:
    assert list(csv.reader(io.StringIO(TABLE.csv()))) == [["run", "Dice"], *TABLE.rows]


def test_markdown() -> None:
    assert TABLE.markdown().splitlines() == [
        "| run | Dice |",
        "| --- | ---: |",
        "| pre_trained & more | 0.5 |",
        "| a, b\\|c | <0.25 |",
    ]


def test_tags_are_text_in_markdown() -> None:
    table = Table(["<b>"], [["</td>"], ["<!--"], ["<0.25"], ["a < b"]])
    assert table.markdown().splitlines()[0] == "| \\<b> |"
    assert table.markdown().splitlines()[2:] == ["| \\</td> |", "| \\<!-- |", "| <0.25 |", "| a < b |"]


def test_latex_is_escaped() -> None:
    assert TABLE.latex().splitlines() == [
        "\\begin{tabular}{lr}",
        "  \\toprule",
        "  run & Dice \\\\",
        "  \\midrule",
        "  pre\\_trained \\& more & 0.5 \\\\",
        "  a, b|c & $<$0.25 \\\\",
        "  \\bottomrule",
        "\\end{tabular}",
    ]


def test_a_terminal_gets_a_table_that_fits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    for name, value in (("TERM", "dumb"), ("COLUMNS", "24"), ("LINES", "20")):
        monkeypatch.setenv(name, value)
    lines = Table(["[run]", "Dice"], [["a name that is longer", "0.5"]], numbers=[1]).text().splitlines()
    assert max(map(len, lines)) <= 24
    assert "[run]" in lines[1], "brackets are text, no markup"
    assert "longer" in " ".join(lines)
    assert sum("0.5" in line for line in lines) == 1
