"""The one table: what was measured, against what, and the target where there is one."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        part: of the benchmarks. what: was measured. value: with its unit.
        ratio: to what nnU-Net does instead, and `per_voxel` (of a step: encoded voxel) of it; `target`: what one of the two should not exceed, or, of
            a rate, fall below.
    """

    part: str
    what: str
    value: str
    ratio: float | None = None
    per_voxel: float | None = None
    target: str = ""


def markdown(rows: Sequence[Row], title: str) -> str:
    """The table, with the machine in its heading."""
    lines = [
        f"{title}. {machine()}.",
        "",
        "| part | what | value | to nnU-Net's | per voxel | target |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratios = ["" if ratio is None else f"{ratio:.2f}" for ratio in (row.ratio, row.per_voxel)]
        lines.append("| " + " | ".join([row.part, row.what, row.value, *ratios, row.target]) + " |")
    return "\n".join(lines) + "\n"


def machine() -> str:
    """What it was measured on."""
    from importlib.metadata import version

    from nnunetv2 import __file__ as _  # noqa: F401  (the version below is of this installation)

    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)} of {platform.processor() or platform.machine()}"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {threads}; no GPU"
    return f"{device}; torch {torch.__version__}, nnU-Net {version('nnunetv2')}"
