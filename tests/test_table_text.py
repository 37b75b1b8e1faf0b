import csv
import io

from nnssl_plugin.report.table_text import Table

TABLE = Table(["run", "Dice"], [["pre_trained & more", "0.5"], ["a, b|c", "<0.25"]], numbers=[1])


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
