"""One step divided among processes of this machine, through torchrun and Gloo: `torchrun … -m benchmarks.scaling SIZES RECIPE`."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
from torch import distributed as dist
from tqdm import tqdm

from benchmarks.problem import Problem, folders
from benchmarks.recipes import DEFAULT, SLEM_CONTRAST, open_trainer, write_recipe
from benchmarks.table import Row

PROCESSES = (1, 2, 4)


def measure_scaling(problem: Problem) -> list[Row]:
    """The same patches by one process, two and four, while every process can have a core; ratios to one."""
    # Four processes need a patch each.
    shared = replace(problem, batch=max(PROCESSES), device="cpu")
    counts = [count for count in PROCESSES if count <= (os.cpu_count() or 1)]
    rows = []
    for recipe in (DEFAULT, SLEM_CONTRAST):
        write_recipe(shared, recipe, residual=False)
        alone = 1.0
        for count in tqdm(counts, f"processes, {recipe}"):
            torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
            command = [*torchrun, "-m", "benchmarks.scaling", shared.to_json(), recipe]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
            alone = found["wall"] if count == 1 else alone
            value = f"{found['wall']:.2f} s on the clock, {found['cpu']:.2f} s of CPU time in all"
            rows.append(Row("processes", f"{recipe}, batch {shared.batch}, {count}", value, found["wall"] / alone))
    return rows


def steps_here(sizes: str, recipe: str) -> dict[str, Any]:
    """Median seconds of a step on the clock, and CPU time of all processes."""
    problem = Problem.from_json(sizes)
    dist.init_process_group("gloo")
    with folders(problem.folder, workers=0):
        from benchmarks.steps import step_of

        step, _ = step_of(open_trainer(problem, recipe, residual=False))
        step()
        times = []
        for _ in range(problem.repetitions):
            wall, cpu = perf_counter(), sum(os.times()[:2])
            step()
            times.append((perf_counter() - wall, sum(os.times()[:2]) - cpu))
    each: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(each, np.median(times, axis=0).tolist())
    dist.destroy_process_group()
    return {"wall": max(wall for wall, _ in each), "cpu": sum(cpu for _, cpu in each)}


if __name__ == "__main__":
    measured = steps_here(*sys.argv[1:])
    if os.environ["RANK"] == "0":
        print(json.dumps(measured))
