"""What every objective must bear, whatever it computes."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.draw import draw_one
from nnssl_plugin.objectives.objective import Features, Objective, ObjectiveResult
from nnssl_plugin.objectives.registry import OBJECTIVES
from tests.batches import make_batch, network_shape
from tests.nothing_waits import NothingWaits

SETTINGS: dict[str, dict[str, object]] = {
    "local_contrastive": {"depths": [0, 1]},
    "distillation": {"depth": 0},
}


def build(name: str, axes: int, channels: int = 3) -> Objective:
    torch.manual_seed(0)
    settings = OBJECTIVES[name].Settings(weight=1.0, **SETTINGS.get(name, {}))
    return OBJECTIVES[name](settings, network_shape(axes, channels))


def score(objective: Objective, batch: PretrainingBatch) -> tuple[ObjectiveResult, list[Tensor]]:
    """Its result on random features of the views it draws, and these features."""
    needs = objective.needs(objective.settings)
    views = objective.draw_views(batch, torch.Generator().manual_seed(0))
    features, made = {}, []
    for name, view in views.images.items():
        patches, axes = len(view), view.ndim - 2
        skip = torch.randn(patches, 8, *[16 if axes == 2 else 8] * axes, requires_grad=True)
        bottleneck = torch.randn(patches, 16, *[4] * axes, requires_grad=True)
        # The network of `network_shape` has one decoder stage.
        decoded = {
            number: torch.randn(patches, 8, *view.shape[2:], requires_grad=True) for number in needs.decoder_stages
        }
        features[name] = Features([skip, bottleneck], decoded)
        made += [skip, bottleneck, *decoded.values()]
    for name, view in views.for_teacher.items():
        features[name] = Features(
            [], {number: torch.randn(len(view), 8, *view.shape[2:]) for number in needs.decoder_stages}
        )
    return objective(features, views, batch), made


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_of_what_an_objective_needs_is_enough(name: str, axes: int) -> None:
    """Its needs name all that it looks at: it works, to the same loss, on a batch and features that hold nothing else."""
    objective, whole = build(name, axes), make_batch(axes, 3)
    needs = objective.needs(objective.settings)
    assert set(needs.images) <= set(whole.images)
    needed = replace(
        whole,
        images={image: whole.images[image] for image in needs.images},
        denormalized_target=whole.denormalized_target if "denormalized" in needs.images else None,
        second=whole.second if needs.second_crop else None,
        coordinates=whole.coordinates if needs.second_crop else None,
        supervoxels=whole.supervoxels if needs.supervoxels else None,
        cases=[],
    )
    views = objective.draw_views(needed, torch.Generator().manual_seed(0))
    for asked, drawn in ((needs.views, views.images), (needs.teacher_views, views.for_teacher)):
        voxels = sum(view[0, 0].numel() for view in drawn.values())
        assert voxels == asked * needed.foreground[0].numel(), "the views are as many as the budget reckons with"
    assert all(len(view) == len(whole.present) for view in views.images.values())
    width = {-1: (16, 4), -2: (8, 16 if axes == 2 else 8)}

    def stage(number: int) -> Tensor:
        """Features of a stage, or, of one that is not needed, what breaks everything that touches it."""
        channels, size = width[number]
        generator = torch.Generator().manual_seed(number + 5)
        values = torch.randn(len(whole.present), channels, *[size] * axes, generator=generator)
        return values if number in needs.encoder_stages else values * torch.nan

    features = {
        view: Features(
            [stage(-2), stage(-1)], {number: torch.zeros(6, 8, *whole.patch_size) for number in needs.decoder_stages}
        )
        for view in [*views.images, *views.for_teacher]
    }
    loss = objective(features, views, needed).loss
    assert torch.isfinite(loss)
    assert objective(features, objective.draw_views(whole, torch.Generator().manual_seed(0)), whole).loss == loss


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_parameter_of_the_head_learns(name: str, axes: int) -> None:
    objective = build(name, axes)
    result, _ = score(objective, make_batch(axes, 3))
    assert result.loss > 0
    assert list(result.parts)
    result.loss.backward()
    trained = {key: p for key, p in objective.named_parameters() if p.requires_grad}
    still = [key for key, p in trained.items() if p.grad is None or p.grad.abs().max() < 1e-6]
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
        for image in batch.images.values():
            image[:, 1:] = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "half precision"):
        result, features = score(objective, batch)
    assert result.loss.dtype == torch.float32
    assert torch.isfinite(result.loss)
    result.loss.backward()
    for tensor in [*objective.parameters(), *features]:
        assert tensor.grad is None or torch.isfinite(tensor.grad).all()


def test_a_draw_follows_the_weights() -> None:
    weights = torch.tensor([0.0, 1, 3, 0, 4]).expand(8000, -1)
    drawn = draw_one(weights, torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=5) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0, 0.125, 0.375, 0, 0.5]), atol=0.02, rtol=0)
    assert (shares[[0, 3]] == 0).all()


# Texts become tokens on the host.
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in ("report_contrast", "region_contrast")])
def test_no_objective_waits_for_the_device(name: str) -> None:
    """From the batch to the gradients, also where modalities and foreground are missing."""
    objective, batch = build(name, 3), make_batch(3, 3)
    batch.present[0, 1:] = False
    batch.foreground[1, :, :8] = False
    with NothingWaits():
        result, _ = score(objective, batch)
        result.loss.backward()
    assert torch.isfinite(result.loss)
