import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnssl_plugin.networks.pretraining_network import PretrainingNetwork
from nnssl_plugin.objectives.objective import NetworkShape
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.planning.fused_network import with_contextual_fusion
from tests.batches import NAMES, make_batch
from tests.synthetic import make_plans

ALONE = [(name, {}) for name in OBJECTIVES] + [
    ("local_contrastive", {"depths": [1]}),
    ("local_contrastive", {"depths": [0, 2]}),
]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("name", "settings"), ALONE)
def test_every_parameter_that_is_trained_gets_a_gradient(
    name: str, settings: dict[str, object], residual: bool, fused: bool
) -> None:
    """One objective alone; DDP stops at a parameter that waits for a gradient in vain."""
    plans = make_plans(residual=residual)
    plan = (with_contextual_fusion(plans) if fused else plans)["configurations"]["2d"]["architecture"]
    torch.manual_seed(0)
    network = get_network_from_plans(
        plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 4, 2, deep_supervision=True
    )
    features = tuple(network.encoder.output_channels)
    shape = NetworkShape(NAMES, (32, 32), (8, 8), features, features[0])
    objective = OBJECTIVES[name](OBJECTIVES[name].Settings(weight=1.0, **settings), shape)
    module = PretrainingNetwork(network, {name: objective})
    batch = make_batch(2, 4)
    total, _ = module(batch, {name: objective.draw_views(batch, torch.Generator().manual_seed(0))})
    total.backward()
    trained = {key for key, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained == {key for key, parameter in module.named_parameters() if parameter.grad is not None}
    lowest = any(key.startswith(f"network.encoder.stages.{len(features) - 1}.") for key in trained)
    assert lowest == (objective.deepest_stage == 0)
    assert any(key.startswith("network.fusion.") for key in trained) == (fused and lowest)
    assert any(key.startswith("network.decoder.stages.") for key in trained) == (name == "restoration")
