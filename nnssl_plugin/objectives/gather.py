import torch
from torch import Tensor
from torch import distributed as dist
from torch.autograd import forward_ad
from torch.distributed.nn.functional import all_gather as all_gather_with_gradient


def gather_rows(rows: Tensor) -> Tensor:
    """Rows of all processes, in rank order; gradients flow back to the process they came from.

    Every process computes the same loss from the result, so the gathered gradient is a sum over processes, which DDP's
    averaging of parameter gradients turns into the gradient of one process with the joined batch.

    Shape: `[N, ...]` → `[world · N, ...]`; the same N everywhere. Without process group: unchanged. Derivatives
    of forward-mode differentiation are gathered along.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return rows
    primal, tangent = forward_ad.unpack_dual(rows)
    if tangent is not None:
        return forward_ad.make_dual(gather_rows(primal), gather_rows(tangent))
    if rows.requires_grad:
        return torch.cat(list(all_gather_with_gradient(rows.contiguous())))
    gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, rows.contiguous())
    return torch.cat(gathered)
