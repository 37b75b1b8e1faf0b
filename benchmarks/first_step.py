"""From a new process to its first step, and the memory it takes: `python -m benchmarks.first_step SIZES RECIPE KIND`."""

import json
import os
import sys
from time import time

import psutil

from benchmarks.problem import Problem, folders

# Unix reports the peak in kB, macOS in bytes.
UNIT = 1 if sys.platform == "darwin" else 1024


def first_step(sizes: str, recipe: str, kind: str) -> dict[str, float]:
    """Seconds since the process was started, and its resident memory in GB before the first step and at its peak."""
    import resource

    problem = Problem.from_json(sizes)
    with folders(problem.folder, workers=0):
        from benchmarks.recipes import make_trainer
        from benchmarks.steps import step_of
        from benchmarks.timing import wait

        step, _ = step_of(make_trainer(problem, recipe, kind == "residual"))
        before = psutil.Process().memory_info().rss / 1e9
        step()
        wait(problem.device)
        seconds = time() - psutil.Process().create_time()
        cpu = sum(os.times()[:2])
        step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / 1e9
    return {"seconds": seconds, "cpu": cpu, "before": before, "peak": peak}


if __name__ == "__main__":
    print(json.dumps(first_step(*sys.argv[1:])))
