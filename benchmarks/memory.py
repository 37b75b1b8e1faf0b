"""Start-up and resident memory of nnU-Net and of some recipes, each in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Sequence

from tqdm import tqdm

from benchmarks.problem import Problem
from benchmarks.recipes import DEFAULT
from benchmarks.table import Row


def measure_start(problem: Problem, residual: bool, wanted: Sequence[str]) -> list[Row]:
    """Rows of one kind of network."""
    kind = "residual" if residual else "plain"
    results = {}
    for name in tqdm(["", *wanted], f"start-up, {kind}"):
        command = [sys.executable, "-m", "benchmarks.first_step", problem.to_json(), name, kind]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results[name] = json.loads(printed.splitlines()[-1])
    rows = []
    for name, found in results.items():
        of_step = found["peak"] - found["before"]
        ratio = of_step / (results[""]["peak"] - results[""]["before"])
        value = f"{found['peak']:.2f} GB at its peak, {of_step:.2f} GB more than before the first step"
        target = "≤ 1.00" if name == DEFAULT else ""
        rows.append(Row(f"memory of the process, {kind}", name or "nnU-Net's", value, ratio, target=target))
    for name, found in results.items():
        value = f"{found['cpu']:.1f} s of CPU time, {found['seconds']:.1f} s on the clock"
        ratio = found["cpu"] / results[""]["cpu"]
        rows.append(Row(f"start to first step, {kind}", name or "nnU-Net's", value, ratio))
    return rows
