"""Steps whose loss or gradient is not finite (ours): they change no weight, are counted, and end the run where they persist."""

import torch
from torch import Tensor
from torch import distributed as dist

GRADIENT_NORM = 12
SKIPPED = "skipped"
# Share of an epoch's steps with a non-finite loss or gradient above which going on is a waste.
MOST_SKIPPED = 0.5
# A scaler looks for its scale from 65536 downwards; a finite loss whose gradient overflows unscaled is no matter of scale.
SMALLEST_SCALE = 1.0


def step_if_finite(total: Tensor, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler | None) -> Tensor:
    """Step down the gradient of the loss `total`, clipped as nnU-Net clips it, if both are finite.

    Returns:
        1 if the loss was not finite in any process, or the gradient; 0 else, and where the scaler lowers its scale for it.
    """
    lost = (~torch.isfinite(total.detach())).float()
    if dist.is_initialized():
        dist.all_reduce(lost, dist.ReduceOp.MAX)
    # Also of a loss that is not finite: under DDP every process must take part.
    (total if scaler is None else scaler.scale(total)).backward()
    if lost:
        # The scale had no part in it and stays.
        return lost
    if scaler is not None:
        scaler.unscale_(optimizer)
    norm = torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], GRADIENT_NORM)
    spoiled = (~torch.isfinite(norm)).float()
    if scaler is None:
        if not spoiled:
            optimizer.step()
        return spoiled
    smallest = scaler.get_scale() <= SMALLEST_SCALE
    scaler.step(optimizer)
    scaler.update()
    if scaler.get_scale() < SMALLEST_SCALE:
        scaler.update(SMALLEST_SCALE)
    return spoiled * smallest


def count_skipped(outputs: list[dict[str, Tensor]]) -> tuple[int, dict[str, int]]:
    """Skipped steps of an epoch, and in how many the loss of which objective was not finite; over all processes.

    Args:
        outputs: of each step 1 or 0 as `skipped` and, for each objective, `skipped/NAME`; other entries are left alone.
    """
    keys = [key for key in outputs[0] if key.startswith(SKIPPED)]
    flags = torch.stack([torch.stack([step[key] for step in outputs]) for key in keys])
    if dist.is_initialized():
        dist.all_reduce(flags, dist.ReduceOp.MAX)
    counts = dict(zip(keys, flags.sum(dim=1).int().tolist(), strict=True))
    return counts.pop(SKIPPED), {key.removeprefix(SKIPPED + "/"): count for key, count in counts.items() if count}


def describe_skipped(skipped: int, steps: int, culprits: dict[str, int]) -> str:
    """`3 of 50 steps: loss or gradient was not finite (slem in 3)`."""
    named = f" ({', '.join(f'{name} in {count}' for name, count in culprits.items())})" if culprits else ""
    return f"{skipped} of {steps} steps: loss or gradient was not finite{named}"


def stop_where_most_are_skipped(
    skipped: int, steps: int, culprits: dict[str, int], epoch: int, last_good: str | None
) -> None:
    """End the run where going on is a waste.

    Raises:
        RuntimeError: more than half of the epoch's steps were skipped; it names the run's `last_good` checkpoint.
    """
    if skipped <= MOST_SKIPPED * steps:
        return
    kept = f"{last_good} is from before" if last_good else "no checkpoint was written"
    advice = "".join(f", or set pretraining.objectives.{name}.weight=0" for name in culprits)
    raise RuntimeError(
        f"pre-training stopped in epoch {epoch}, {describe_skipped(skipped, steps, culprits)}; {kept}. "
        f"Lower pretraining.initial_lr{advice}"
    )
