import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.nn.functional import all_gather as all_gather_with_gradient


def gather_rows(rows: Tensor) -> Tensor:
    """Rows of all processes, in rank order; gradients flow back to the process they came from.

    Every process computes the same loss from the result, so the gathered gradient is a sum over processes, which DDP's
    averaging of parameter gradients turns into the gradient of one process with the joined batch.

    Shape: `[N, ...]` → `[world · N, ...]`; the same N everywhere. Without process group: unchanged.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    if rows.requires_grad:
        return torch.cat(list(all_gather_with_gradient(rows.contiguous())))
    gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)
