import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnssl_plugin.planning.fused_network import with_contextual_fusion
from nnssl_plugin.planning.plans_copy import copy_plans
from tests.synthetic import make_plans

KINDS = [(axes, residual) for axes in (2, 3) for residual in (False, True)]


def network(plans: dict[str, Any], axes: int) -> Any:
    architecture = plans["configurations"]["2d" if axes == 2 else "3d_fullres"]["architecture"]
    torch.manual_seed(0)
    return get_network_from_plans(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        4,
        3,
        deep_supervision=True,
    )


@pytest.mark.parametrize(("axes", "residual"), KINDS)
def test_it_is_the_stock_network_with_the_block_between_encoder_and_decoder(axes: int, residual: bool) -> None:
    stock = make_plans(residual=residual)
    fused = network(with_contextual_fusion(stock), axes)
    plain = network(stock, axes)
    shapes = {key: value.shape for key, value in fused.state_dict().items()}
    assert {k: v for k, v in shapes.items() if not k.startswith("fusion.")} == {
        key: value.shape for key, value in plain.state_dict().items()
    }
    assert any(key.startswith("fusion.") for key in shapes)
    plain.load_state_dict({k: v for k, v in fused.state_dict().items() if not k.startswith("fusion.")})
    x = torch.randn(2, 4, *[32 if axes == 2 else 16] * axes)
    outputs, expected = fused(x), plain(x)
    assert [o.shape for o in outputs] == [o.shape for o in expected], "deep supervision"
    assert not torch.allclose(outputs[0], expected[0])
    with torch.no_grad():
        fused.fusion.gain.zero_()
    torch.testing.assert_close(fused(x), expected)
    fused(x)[0].sum().backward()
    assert all(p.grad is not None for p in fused.fusion.parameters())


def test_stock_weights_do_not_pass_for_fused_ones_and_fused_ones_load(tmp_path: Path) -> None:
    fused = network(with_contextual_fusion(make_plans()), 3)
    torch.save({"network_weights": fused.state_dict()}, tmp_path / "fused.pth")
    torch.save({"network_weights": network(make_plans(), 3).state_dict()}, tmp_path / "stock.pth")
    target = copy.deepcopy(fused)
    for parameter in target.parameters():
        parameter.data.zero_()
    load_pretrained_weights(target, str(tmp_path / "fused.pth"))
    assert torch.equal(target.fusion.gain, fused.fusion.gain)
    with pytest.raises(AssertionError, match="fusion"):
        load_pretrained_weights(target, str(tmp_path / "stock.pth"))


def test_dilation_3_follows_the_bottleneck_and_resizing_updates_it() -> None:
    plans = make_plans()
    large = copy_plans(plans, "Large", [], configurations=["2d"], patch_size=[64, 64], contextual_fusion=True)
    arguments = large["configurations"]["2d"]["architecture"]["arch_kwargs"]
    strides = torch.tensor(arguments["strides"]).prod(dim=0).tolist()
    assert arguments["fusion_bottleneck"] == [64 // s for s in strides]
    # Without asking for the block again: what is fused stays fused, and follows the new patch.
    smaller = copy_plans(large, "Smaller", [], configurations=["2d"], patch_size=[32, 32])
    arguments = smaller["configurations"]["2d"]["architecture"]["arch_kwargs"]
    strides = torch.tensor(arguments["strides"]).prod(dim=0).tolist()
    assert arguments["fusion_bottleneck"] == [32 // s for s in strides]
    assert json.dumps(smaller)
    assert len(network(with_contextual_fusion(plans), 2).fusion.local) == 4, "a bottleneck of 8: dilations 1, 2 and 3"
    assert len(network(with_contextual_fusion(plans), 3).fusion.local) == 3, "a bottleneck of 4: no dilation 3"


@pytest.mark.slow
@pytest.mark.parametrize(("axes", "residual"), KINDS)
def test_it_trains_compiled(axes: int, residual: bool) -> None:
    plain = network(with_contextual_fusion(make_plans(residual=residual)), axes)
    compiled = torch.compile(copy.deepcopy(plain))
    x = torch.randn(2, 4, *[32 if axes == 2 else 16] * axes)
    outputs = compiled(x)
    torch.testing.assert_close(outputs, plain(x), rtol=1e-3, atol=1e-3)
    sum(output.square().mean() for output in outputs).backward()
    sum(output.square().mean() for output in plain(x)).backward()
    for (name, parameter), expected in zip(compiled.named_parameters(), plain.parameters(), strict=True):
        if expected.grad is not None:
            torch.testing.assert_close(
                parameter.grad, expected.grad, rtol=1e-2, atol=1e-4, msg=lambda m, n=name: f"{n}: {m}"
            )
