"""A smaller (or larger) patch, batch and network for one configuration of a plans file."""

import itertools
from collections.abc import Sequence
from typing import Any

from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props

from nnssl_plugin.errors import InputError

# What nnU-Net's own planners ask for: no edge of the bottleneck below 4 voxels by pooling, as many poolings as fit.
SMALLEST_BOTTLENECK_EDGE = 4
MOST_POOLINGS = 999999

Topology = tuple[list[list[int]], list[list[int]]]


def topology_of(spacing: Sequence[float], patch_size: Sequence[int]) -> Topology | None:
    """Strides and kernel sizes of every stage for a patch, as nnU-Net's planner chooses them.

    Args:
        spacing: of the configuration, in mm, in the plans' order of axes.
        patch_size: in voxels, same order.

    Returns:
        None where the patch is not divisible by its own strides or too small for two stages.
    """
    _, strides, kernels, padded, _ = get_pool_and_conv_props(
        spacing, patch_size, SMALLEST_BOTTLENECK_EDGE, MOST_POOLINGS
    )
    if [int(edge) for edge in padded] != list(patch_size) or len(strides) < 2:
        return None
    return [list(stride) for stride in strides], [list(kernel) for kernel in kernels]


def nearest_patch_size(spacing: Sequence[float], patch_size: Sequence[int]) -> list[int]:
    """The possible patch size with the smallest sum of differences, in voxels, from `patch_size`."""
    # Edges change by rounding to a multiple of a power of two; 8 and 12 are the smallest edges nnU-Net pools.
    powers = [2**k for k in range(max(max(patch_size).bit_length(), 4))]
    candidates = [
        sorted(
            {
                8,
                12,
                *(max(edge // power, 1) * power for power in powers),
                *(-(-edge // power) * power for power in powers),
            }
        )
        for edge in patch_size
    ]
    sizes = sorted(
        itertools.product(*candidates),
        key=lambda size: sum(abs(a - b) for a, b in zip(size, patch_size, strict=True)),
    )
    return next(list(size) for size in sizes if topology_of(spacing, size) is not None)


def resized(
    configuration: dict[str, Any],
    *,
    batch_size: int | None = None,
    patch_size: list[int] | None = None,
    features: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """The entries of `configuration` that a new batch size, patch size or width of the network changes.

    Strides and kernels follow a new patch size by nnU-Net's own rule; numbers of features, blocks and convolutions
    of the stages are cut to the new number of stages, or their last entry is repeated.

    Args:
        configuration: one configuration of a plans file, with what it inherits.
        batch_size: patches in a batch.
        patch_size: in voxels, in the plans' (transposed) order of axes.
        features: B, M: stage i has min(M, B·2^i) features.

    Raises:
        InputError: an impossible size; the message names the nearest possible one.
    """
    changed: dict[str, Any] = {}
    if batch_size is not None:
        if batch_size < 1:
            raise InputError(f"batch size {batch_size} is impossible; the nearest possible one is 1")
        changed["batch_size"] = batch_size
    if patch_size is None and features is None:
        return changed

    architecture = configuration["architecture"]
    arguments = dict(architecture["arch_kwargs"])
    missing = {
        "n_stages",
        "strides",
        "kernel_sizes",
        "features_per_stage",
        "n_conv_per_stage_decoder",
    } - arguments.keys()
    if missing:
        raise InputError(
            f"the network {architecture['network_class_name']} has no stages to resize ({', '.join(sorted(missing))} "
            "missing from its arguments); only its batch size can be changed"
        )
    if patch_size is not None:
        changed["patch_size"] = patch_size
        arguments.update(_stages(configuration["spacing"], patch_size, arguments))
    if features is not None:
        base, most = features
        if base < 1 or most < base:
            nearest = f"{max(base, 1)} to {max(base, most, 1)}"
            raise InputError(f"features {base} to {most} are impossible; the nearest possible ones are {nearest}")
        arguments["features_per_stage"] = [min(most, base * 2**i) for i in range(arguments["n_stages"])]
    changed["architecture"] = {**architecture, "arch_kwargs": arguments}
    return changed


def _stages(spacing: Sequence[float], patch_size: list[int], arguments: dict[str, Any]) -> dict[str, Any]:
    if len(patch_size) != len(spacing):
        raise InputError(f"patch size {patch_size} has {len(patch_size)} axes, the configuration has {len(spacing)}")
    if min(patch_size) < 1:
        positive = [max(edge, 1) for edge in patch_size]
        raise InputError(_impossible(patch_size, nearest_patch_size(spacing, positive)))
    topology = topology_of(spacing, patch_size)
    if topology is None:
        raise InputError(_impossible(patch_size, nearest_patch_size(spacing, patch_size)))
    strides, kernels = topology
    stages = len(strides)
    new = {"n_stages": stages, "strides": strides, "kernel_sizes": kernels}
    for name in ("features_per_stage", "n_conv_per_stage", "n_blocks_per_stage"):
        if name in arguments:
            new[name] = _of_length(arguments[name], stages)
    new["n_conv_per_stage_decoder"] = _of_length(arguments["n_conv_per_stage_decoder"], stages - 1)
    return new


def _of_length(entries: int | list[int], length: int) -> int | list[int]:
    if isinstance(entries, int):
        return entries
    return [*entries[:length], *entries[-1:] * (length - len(entries))]


def _impossible(patch_size: list[int], nearest: list[int]) -> str:
    return (
        f"patch size {patch_size} is impossible: every edge must be divisible by the strides of the network it gets, "
        f"and the network must have at least two stages; the nearest possible one is {nearest}"
    )
