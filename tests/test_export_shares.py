"""What is transferred between networks of nnU-Net's default sizes; without weights, so no memory is taken."""

from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import nn

from nnssl_plugin.export.topology import share, transfer
from tests.synthetic import architecture

FEATURES = [32, 64, 128, 256, 320, 320, 320]
BLOCKS = [1, 3, 4, 6, 6, 6, 6]


def network(residual: bool, stages: int = 6, **changes: Any) -> nn.Module:
    plans = architecture(3, residual, stages)
    sizes: dict[str, Any] = {"features_per_stage": FEATURES[:stages]}
    if residual:
        sizes["n_blocks_per_stage"] = BLOCKS[:stages]
    else:
        sizes["n_conv_per_stage"] = [2] * stages
        sizes["n_conv_per_stage_decoder"] = [2] * (stages - 1)
    sizes |= changes
    with torch.device("meta"):
        return get_network_from_plans(
            plans["network_class_name"],
            {**plans["arch_kwargs"], **sizes},
            plans["_kw_requires_import"],
            4,
            3,
            deep_supervision=True,
        )


FLAT_FIRST_KERNEL = [[1, 3, 3], *[[3, 3, 3]] * 5]
ANISOTROPIC_STRIDES = [[1, 1, 1], [1, 2, 2], *[[2, 2, 2]] * 4]
WIDER = [32, 64, 128, 256, 512, 512]


@pytest.mark.parametrize(
    ("residual", "source", "target", "expected"),
    [
        (False, {}, {}, (100, 100)),
        (False, {"stages": 7}, {}, (100, 100)),
        (False, {}, {"stages": 7}, (72, 65)),
        (True, {}, {"stages": 7}, (73, 65)),
        (False, {}, {"strides": ANISOTROPIC_STRIDES}, (100, 100)),
        (False, {}, {"kernel_sizes": FLAT_FIRST_KERNEL}, (100, 100)),
        (False, {}, {"features_per_stage": WIDER}, (12, 23)),
        (False, {"features_per_stage": WIDER}, {}, (25, 43)),
        (True, {}, {"features_per_stage": WIDER}, (13, 23)),
        (False, {}, {"features_per_stage": [24, 48, 96, 192, 240, 240]}, (0, 0)),
        (False, {"n_conv_per_stage": [1] * 6}, {}, (44, 100)),
        (True, {"n_blocks_per_stage": [1, 3, 4, 4, 4, 4]}, {}, (68, 100)),
    ],
)
def test_shares(residual: bool, source: dict[str, Any], target: dict[str, Any], expected: tuple[int, int]) -> None:
    """Percent of the encoder's and the decoder's parameters."""
    layers = transfer(network(residual, **source).state_dict(), network(residual, **target), [0, 1, 2, 3])
    found = tuple(round(100 * share(layers, part)) for part in ("encoder", "decoder"))
    print(f"{'residual' if residual else 'plain'} {source} -> {target}: encoder {found[0]} %, decoder {found[1]} %")
    assert found == expected
