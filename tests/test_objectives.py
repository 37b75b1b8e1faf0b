"""What every objective must bear, whatever it computes."""

import pytest
import torch

from nnssl_plugin.objectives.objective import Features, Objective, ObjectiveResult, PretrainingBatch
from nnssl_plugin.objectives.registry import OBJECTIVES
from tests.batches import make_batch, network_shape

SETTINGS: dict[str, dict[str, object]] = {"local_contrastive": {"depths": [0, 1]}}


def build(name: str, axes: int, channels: int = 3) -> Objective:
    torch.manual_seed(0)
    settings = OBJECTIVES[name].Settings(weight=1.0, **SETTINGS.get(name, {}))
    return OBJECTIVES[name](settings, network_shape(axes, channels))


def score(objective: Objective, batch: PretrainingBatch) -> tuple[ObjectiveResult, Features]:
    """Its result on random features of the views it draws."""
    views = objective.draw_views(batch, torch.Generator().manual_seed(0))
    patches, axes = len(views.images), views.images.ndim - 2
    skip = torch.randn(patches, 8, *[16 if axes == 2 else 8] * axes, requires_grad=True)
    bottleneck = torch.randn(patches, 16, *[4] * axes, requires_grad=True)
    decoded = torch.randn(patches, 8, *views.images.shape[2:], requires_grad=True)
    features = Features([skip, bottleneck], decoded if objective.needs_decoder else None)
    return objective(features, views, batch), features


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_parameter_of_the_head_learns(name: str, axes: int) -> None:
    objective = build(name, axes)
    result, _ = score(objective, make_batch(axes, 3))
    assert result.loss > 0
    assert list(result.parts)
    result.loss.backward()
    still = [key for key, p in objective.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-6]
    assert still == []


@pytest.mark.parametrize("case", ["one patch", "no foreground", "constant image", "one modality", "half precision"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_hard_batches_have_finite_losses_and_gradients(name: str, case: str) -> None:
    objective = build(name, 3)
    batch = make_batch(3, 3, size=1 if case == "one patch" else 4, constant=case == "constant image")
    if case == "no foreground":
        batch.foreground[:] = False
    if case == "one modality":
        batch.present[:, 1:] = False
        batch.data[:, 1:] = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "half precision"):
        result, features = score(objective, batch)
    assert result.loss.dtype == torch.float32
    assert torch.isfinite(result.loss)
    result.loss.backward()
    for tensor in [*objective.parameters(), *features.stages, *([features.decoded] if objective.needs_decoder else [])]:
        assert tensor.grad is None or torch.isfinite(tensor.grad).all()
