"""What all rivals must bear and do, with a network below them."""

from typing import Any

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnssl_plugin.networks.pretraining_network import PretrainingNetwork
from nnssl_plugin.objectives.objective import NetworkShape, Objective
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.settings.presets import PRESETS
from nnssl_plugin.settings.settings import Settings
from tests.batches import NAMES, make_batch, smooth_batch
from tests.synthetic import architecture

RIVALS = ["jigen", "puzzle", "supervoxel", "simclr", "mae"]
SETTINGS: dict[str, dict[str, Any]] = {"mae": {"cube_size": 8}, "jigen": {"permutations": 4}}


def network(name: str, axes: int, channels: int) -> PretrainingNetwork:
    torch.manual_seed(0)
    plans = architecture(axes, residual=False, features=8)
    unet = get_network_from_plans(
        plans["network_class_name"], plans["arch_kwargs"], plans["_kw_requires_import"], channels, 2, True, False
    )
    patch = (32, 32) if axes == 2 else (16, 16, 16)
    shape = NetworkShape(NAMES[:channels], patch, tuple(s // 4 for s in patch), (8, 16, 32))
    settings = OBJECTIVES[name].Settings(weight=1.0, **SETTINGS.get(name, {}))
    objective: Objective = OBJECTIVES[name](settings, shape)
    return PretrainingNetwork(unet, {name: objective}, {name: objective.needs(settings)})


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", RIVALS)
def test_learns(name: str, axes: int) -> None:
    model, batch = network(name, axes, 2), smooth_batch(axes, 2)
    kind = model.needs[name].patches
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 3e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        total, results = model({kind: batch}, {name: model.objectives[name].draw_views(batch, generator)})
        total.backward()
        assert all(parameter.grad is not None for parameter in trained)
        optimizer.step()
        losses.append(total.item())
    print(name, axes, sum(losses[:5]) / 5, sum(losses[-5:]) / 5, {k: v.item() for k, v in results[name].metrics.items()})
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.parametrize("case", ["one patch", "no foreground", "constant image", "one modality", "half precision"])
@pytest.mark.parametrize("name", RIVALS)
def test_hard_batches_have_finite_losses_and_gradients(name: str, case: str) -> None:
    model = network(name, 3, 3)
    batch = make_batch(3, 3, size=1 if case == "one patch" else 3, constant=case == "constant image")
    for part in (batch, batch.second):
        assert part is not None
        if case == "no foreground":
            part.foreground[:] = False
        if case == "one modality":
            part.present[:, 1:] = False
            for images in part.images.values():
                images[:, 1:] = 0
    views = {name: model.objectives[name].draw_views(batch, torch.Generator().manual_seed(0))}
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "half precision"):
        total, results = model({model.needs[name].patches: batch}, views)
    assert results[name].loss.dtype == torch.float32
    assert torch.isfinite(total)
    total.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_rivals_are_off_by_default_and_each_alone_in_the_preset_of_its_name() -> None:
    objectives = Settings().pretraining.objectives
    assert all(getattr(objectives, name).weight == 0 for name in RIVALS)
    assert all(PRESETS[name] == {name: 1.0} for name in RIVALS)
