"""How the network itself can be run: compiled, channels last, and by which AdamW; forward, backward and update."""

import shutil
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.problem import Problem
from benchmarks.recipes import make_trainer
from benchmarks.table import Row
from benchmarks.timing import in_turns

AS_IS = "as it is"


def measure_variants(problem: Problem, residual: bool) -> list[Row]:
    """Ratios to the plain network."""
    kind = "residual encoder" if residual else "plain"
    networks = {name: make_trainer(problem, "", residual).network for name in (AS_IS, "channels last", "compiled")}
    batch = torch.randn(problem.batch, problem.modalities, *problem.patch, device=problem.device)
    last = torch.channels_last_3d
    actions: dict[str, Callable[[], object]] = {
        AS_IS: partial(_step, networks[AS_IS], batch, problem.device),
        "channels last": partial(
            _step, networks["channels last"].to(memory_format=last), batch.to(memory_format=last), problem.device
        ),
    }
    if shutil.which("g++") or problem.device == "cuda":
        actions["compiled"] = partial(_step, torch.compile(networks["compiled"]), batch, problem.device)
    times = in_turns(actions, problem.repetitions, problem.device, f"variants, {kind}")
    seconds = {name: found.seconds(problem.device) for name, found in times.items()}
    rows = [Row(f"network, {kind}", name, f"{found:.3f} s", found / seconds[AS_IS]) for name, found in seconds.items()]
    return rows + _optimizers(problem, kind, networks[AS_IS])


def _step(network: Any, batch: torch.Tensor, device: str) -> None:
    network.zero_grad(set_to_none=True)
    with torch.autocast("cuda", enabled=device == "cuda"):
        loss = sum(output.float().square().mean() for output in network(batch))
    loss.backward()


def _optimizers(problem: Problem, kind: str, network: Any) -> list[Row]:
    """An update with the gradients that are there."""
    actions = {
        name: torch.optim.AdamW(network.parameters(), 0.0, fused=name == "fused", foreach=name == "foreach").step
        for name in ("one by one", "foreach", "fused")
    }
    times = in_turns(actions, problem.repetitions, problem.device, f"AdamW, {kind}")
    base = times["one by one"].seconds(problem.device)
    return [
        Row(
            f"AdamW, {kind}",
            name,
            f"{1e3 * found.seconds(problem.device):.1f} ms",
            found.seconds(problem.device) / base,
        )
        for name, found in times.items()
    ]
