"""Scores of `nnssl_plugin evaluate` as tables."""

from collections.abc import Mapping
from typing import Any

from nnssl_plugin.report.table_text import Table

MEAN_ROW = "mean (empty in both = 1)"
NNUNET_ROW = "mean (nnU-Net: empty in both left out)"
UNITS = {"HD95": "mm", "HD95 of voxel centres": "mm", "Lesion-wise HD95": "mm", "ASSD": "mm", "MSSD": "mm", "RAVD": "%"}
# Of all others, more is better.
LOWER_IS_BETTER = set(UNITS)


def metrics_of(results: Mapping[str, Any]) -> list[str]:
    """Names of the metrics."""
    return list(next(iter(results["mean"].values())))


def digits(metric: str, value: float | None) -> str:
    """A score as text: shares with four decimals, lengths and percentages with two."""
    if value is None:
        return "-"
    return f"{value:.2f}" if metric in UNITS else f"{value:.4f}"


def titled(metric: str) -> str:
    """A metric with its unit."""
    return f"{metric} ({UNITS[metric]})" if metric in UNITS else metric


def dice_table(results: Mapping[str, Any]) -> Table:
    """Dice of every case and region, and its means, nnU-Net's own where it differs."""
    regions = list(results["regions"])

    def row(title: str, scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
        return [title, *(digits("Dice", scores[region]["Dice"]) for region in regions)]

    rows = [row(case, scores) for case, scores in results["cases"].items()]
    ours, nnunet = row(MEAN_ROW, results["mean"]), row(NNUNET_ROW, results["mean_nnunet"])
    rows += [ours] if ours[1:] == nnunet[1:] else [ours, nnunet]
    return Table(["Dice", *regions], rows, range(1, len(regions) + 1))


def mean_table(results: Mapping[str, Any]) -> Table:
    """Means over cases: a row per region, a column per metric; nnU-Net's own mean of Dice where it differs.

    A mean over fewer cases, because it is undefined for others, has their number behind it.
    """
    metrics, nnunet = metrics_of(results), results["mean_nnunet"]
    differs = any(
        digits("Dice", means["Dice"]) != digits("Dice", nnunet[r]["Dice"]) for r, means in results["mean"].items()
    )

    def cell(region: str, metric: str, value: float | None) -> str:
        undefined = results["undefined"].get(region, {}).get(metric, 0)
        return digits(metric, value) + (f" ({results['scored'] - undefined} cases)" if undefined else "")

    rows = [
        [
            region,
            *(cell(region, metric, means[metric]) for metric in metrics),
            *([digits("Dice", nnunet[region]["Dice"])] if differs else []),
        ]
        for region, means in results["mean"].items()
    ]
    missing = f" of {results['expected']}" if results["scored"] != results["expected"] else ""
    header = [f"mean of {results['scored']}{missing} cases", *map(titled, metrics)]
    header += ["Dice (nnU-Net: empty in both left out)"] if differs else []
    return Table(header, rows, range(1, len(header)))


def undefined_lines(results: Mapping[str, Any]) -> list[str]:
    """What is undefined for some cases, in words."""
    return [
        f"{metric} of {region} is undefined for {count} cases, which are not in its mean"
        for region, counts in results["undefined"].items()
        for metric, count in counts.items()
    ]


def case_table(results: Mapping[str, Any]) -> Table:
    """Every score of every case, in full precision, for the CSV; columns are `REGION_METRIC`."""
    columns = [(region, metric) for region in results["regions"] for metric in metrics_of(results)]
    rows = [
        [case, *("" if scores[region][metric] is None else repr(scores[region][metric]) for region, metric in columns)]
        for case, scores in results["cases"].items()
    ]
    return Table(["case", *(f"{region}_{metric}" for region, metric in columns)], rows)
