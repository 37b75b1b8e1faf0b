from torch import Tensor


def mean_per_patch(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over all but the first axis; 0 where a patch has no weight.

    Shape: two `[B, ...]` → `[B]`.
    """
    axes = tuple(range(1, values.ndim))
    return (values * weights).sum(axes) / weights.sum(axes).clamp(min=1e-6)
