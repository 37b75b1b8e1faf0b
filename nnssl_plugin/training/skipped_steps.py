"""Steps whose loss or gradient is not finite (ours): they change no weight, are counted, and end the run where they persist."""

from pathlib import Path

import torch
from torch import Tensor
from torch import distributed as dist

GRADIENT_NORM = 12
SKIPPED = "skipped"
# Share of an epoch's steps with a non-finite loss or gradient above which going on is a waste.
MOST_SKIPPED = 0.5
# Each step without a finite gradient halves the scaler's scale, from 65536; no loss needs one that small.
SMALLEST_SCALE = 1e-3


def step_if_finite(total: Tensor, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None) -> Tensor:
    """Step down the gradient of the loss `total`, clipped as nnU-Net clips it, if it is finite.

    Returns:
        Whether the loss was not finite, or the gradient without a scaler. A scaler meets such gradients while it looks for
        its scale, so `count_skipped` judges them by the scale.
    """
    lost = ~torch.isfinite(total.detach())
    parameters = optimizer.param_groups[0]["params"]
    if scaler is None:
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
        if torch.isfinite(norm):
            optimizer.step()
        return lost | ~torch.isfinite(norm)
    scaler.scale(total).backward()
    scaler.unscale_(optimizer)
    torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
    scaler.step(optimizer)
    scaler.update()
    return lost


def count_skipped(outputs: list[dict[str, Tensor]], scaler: torch.amp.GradScaler | None) -> tuple[int, dict[str, int]]:
    """Skipped steps of an epoch, and in how many the loss of which objective was not finite; over all processes.

    Args:
        outputs: of each step 1 or 0 as `skipped` and, for each objective, `skipped/NAME`; other entries are left alone.
        scaler: of mixed precision.
    """
    keys = [key for key in outputs[0] if key.startswith(SKIPPED)]
    flags = torch.stack([torch.stack([step[key] for step in outputs]) for key in keys])
    if dist.is_initialized():
        # A gradient that one process spoils is spoiled in all of them.
        dist.all_reduce(flags, dist.ReduceOp.MAX)
    counts = dict(zip(keys, flags.sum(dim=1).int().tolist(), strict=True))
    skipped = counts.pop(SKIPPED)
    if scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
        skipped = len(outputs)
    return skipped, {key.removeprefix(SKIPPED + "/"): count for key, count in counts.items() if count}


def describe_skipped(skipped: int, steps: int, culprits: dict[str, int]) -> str:
    """`3 of 50 steps: loss or gradient was not finite (slem in 3)`."""
    named = f" ({', '.join(f'{name} in {count}' for name, count in culprits.items())})" if culprits else ""
    return f"{skipped} of {steps} steps: loss or gradient was not finite{named}"


def stop_where_most_are_skipped(skipped: int, steps: int, culprits: dict[str, int], epoch: int, folder: Path) -> None:
    """End the run where going on is a waste.

    Raises:
        RuntimeError: more than half of the epoch's steps were skipped; it names the last good checkpoint in `folder`.
    """
    if skipped <= MOST_SKIPPED * steps:
        return
    good = [name for name in ("latest", "best") if (folder / f"checkpoint_{name}.pth").exists()]
    kept = f"checkpoint_{good[0]}.pth in {folder} is from before" if good else "no checkpoint was written"
    advice = "".join(f", or set pretraining.objectives.{name}.weight=0" for name in culprits)
    raise RuntimeError(
        f"pre-training stopped in epoch {epoch}, {describe_skipped(skipped, steps, culprits)}; {kept}. "
        f"Lower pretraining.initial_lr{advice}"
    )
