from collections.abc import Mapping
from typing import Any

from nnssl_plugin.report.table_text import Table

SCORES = ("AUC", "average precision", "balanced accuracy", "accuracy")


def probe_tables(result: Mapping[str, Any]) -> dict[str, Table]:
    """Task → a row for each network and judge, mean ± standard deviation over draws."""
    tables = {}
    for task in dict.fromkeys(row["task"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["task"] == task]
        scores = [score for score in SCORES if score in rows[0]["scores"]]
        cells = [[row["network"], row["judge"], *(_cell(row["scores"][score]) for score in scores)] for row in rows]
        tables[task] = Table(["network", "judge", *scores], cells, range(2, 2 + len(scores)))
    return tables


def _cell(score: Mapping[str, Any]) -> str:
    return f"{score['mean']:.3f}" + ("" if score["sd"] is None else f" ± {score['sd']:.3f}")
