"""Steps whose loss or gradient is not finite: they change no weight, are counted, and end the run where they persist."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch import distributed as dist

GRADIENT_NORM = 12
SKIPPED = "skipped"
# Share of an epoch's steps with a non-finite loss or gradient above which going on is a waste.
MOST_SKIPPED = 0.5
# A scaler looks for its scale from 65536 downwards; a finite loss whose gradient overflows unscaled is no matter of scale.
SMALLEST_SCALE = 1.0


def gradient_scaler(device: torch.device) -> torch.amp.GradScaler:
    """A scaler for mixed precision on CUDA; elsewhere one that stays at 1, as it also finds gradients that are not finite."""
    if device.type == "cuda":
        return torch.amp.GradScaler("cuda")
    return torch.amp.GradScaler(device.type, init_scale=1.0, growth_interval=2**31 - 1)


def step_if_finite(total: Tensor, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler) -> Tensor:
    """Step down the gradient of the loss `total`, clipped as nnU-Net clips it, if both are finite.

    Nothing here waits for the device: the decision is left to the optimiser, which must be a fused one.

    Returns:
        1 if the loss was not finite in any process, or the gradient; 0 else, and where the scaler lowers its scale for it.
    """
    bad_loss = (~torch.isfinite(total.detach())).float()
    if dist.is_initialized():
        dist.all_reduce(bad_loss, dist.ReduceOp.MAX)
    scale = scaler.scale(torch.ones_like(bad_loss))
    # Also of a loss that is not finite, as under DDP every process must take part; its gradient may be finite all the same.
    scaler.scale(total * torch.where(bad_loss > 0, torch.nan, 1.0)).backward()
    scaler.unscale_(optimizer)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(parameters, GRADIENT_NORM)
    scaler.step(optimizer)
    scaler.update()
    # The scale has no part in a loss that is not finite, and stays.
    lowered = scaler.scale(torch.ones_like(bad_loss)).clamp(min=SMALLEST_SCALE)
    scaler.update(torch.where(bad_loss > 0, scale, lowered))
    bad_gradient = (~torch.isfinite(norm)).float() * (scale <= SMALLEST_SCALE)
    return torch.maximum(bad_loss, bad_gradient)


def count_skipped(outputs: Iterable[Mapping[str, Tensor]]) -> tuple[int, dict[str, int]]:
    """Skipped steps of an epoch, and in how many the loss of which objective was not finite; over all processes.

    Args:
        outputs: of each step 1 or 0 as `skipped` and, for each objective, `skipped/NAME`; other entries are left alone.
    """
    steps = list(outputs)
    keys = [key for key in steps[0] if key.startswith(SKIPPED)]
    flags = torch.stack([torch.stack([step[key] for step in steps]) for key in keys])
    if dist.is_initialized():
        dist.all_reduce(flags, dist.ReduceOp.MAX)
    counts = dict(zip(keys, flags.sum(dim=1).int().tolist(), strict=True))
    return counts.pop(SKIPPED), {key.removeprefix(SKIPPED + "/"): count for key, count in counts.items() if count}


def describe_skipped(skipped: int, steps: int, by_objective: Mapping[str, int]) -> str:
    """`3 of 50 steps: loss or gradient was not finite (slem in 3)`."""
    named = f" ({', '.join(f'{name} in {count}' for name, count in by_objective.items())})" if by_objective else ""
    return f"{skipped} of {steps} steps: loss or gradient was not finite{named}"


def stop_where_most_are_skipped(
    skipped: int, steps: int, by_objective: Mapping[str, int], epoch: int, last_good: str | None
) -> None:
    """End the run where going on is a waste.

    Raises:
        RuntimeError: more than half of the epoch's steps were skipped; it names the run's `last_good` checkpoint.
    """
    if skipped <= MOST_SKIPPED * steps:
        return
    kept = f"{last_good} is from before" if last_good else "no checkpoint was written"
    advice = "".join(f", or set pretraining.objectives.{name}.weight=0" for name in by_objective)
    raise RuntimeError(
        f"pre-training stopped in epoch {epoch}, {describe_skipped(skipped, steps, by_objective)}; {kept}. "
        f"Lower pretraining.initial_lr{advice}"
    )
