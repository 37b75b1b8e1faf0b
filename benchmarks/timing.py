"""Times of several things, taken in turns, so that a machine that others use too slows all of them alike."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from tqdm import tqdm


@dataclass
class Times:
    """Seconds of every repetition: `wall` on the clock, `cpu` of this process and its threads."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def seconds(self, device: str) -> float:
        """Median of what counts: the clock on a GPU, CPU time on a CPU, which is nobody's alone."""
        return float(np.median(self.cpu if device == "cpu" else self.wall))

    def mean_cpu(self) -> float:
        """Mean CPU time, of what differs from time to time by itself, as augmentation does."""
        return float(np.mean(self.cpu))


def once(action: Callable[[], object], device: str, times: Times) -> None:
    """Add a repetition."""
    wait(device)
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    wait(device)
    times.wall.append(time.perf_counter() - wall)
    times.cpu.append(time.process_time() - cpu)


def in_turns(actions: Mapping[str, Callable[[], object]], repetitions: int, device: str, what: str) -> dict[str, Times]:
    """Times of each action, after one that does not count."""
    results = {name: Times() for name in actions}
    for turn in tqdm(range(repetitions + 1), what):
        for name, action in actions.items():
            once(action, device, results[name] if turn else Times())
    return results


def wait(device: str) -> None:
    """Until the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()
