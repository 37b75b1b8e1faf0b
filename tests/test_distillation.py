import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.distillation import DenseDistillation, DistillationSettings
from nnssl_plugin.objectives.objective import Features, NetworkShape
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from tests.batches import make_batch, network_shape
from tests.synthetic import architecture


def two_crops(axes: int, size: int = 4) -> PretrainingBatch:
    """A batch whose second crop lies four voxels further along the first axis."""
    return make_batch(axes, 3, size=size)


def distillation(axes: int, **settings: object) -> DenseDistillation:
    torch.manual_seed(0)
    return DenseDistillation(DistillationSettings(weight=1.0, depth=0, **settings), network_shape(axes, 3))  # type: ignore[arg-type]


@pytest.mark.parametrize("axes", [2, 3])
def test_places_are_the_same_in_both_crops(axes: int) -> None:
    batch, task = two_crops(axes), distillation(axes, locations=40)
    targets = task.draw_views(batch, torch.Generator().manual_seed(0)).targets
    size = batch.patch_size[0]
    assert targets["first valid"].any()
    step = 2 / (size - 1)
    moved = targets["first here"][..., 0] - targets["first there"][..., 0]
    torch.testing.assert_close(moved, torch.full_like(moved, 4 * step), atol=1e-4, rtol=0)
    # Those within four voxels of the edge are not in the other crop.
    outside = targets["first here"][..., 0] < -1 + 4 * step - 1e-4
    assert not targets["first valid"][outside].any()
    assert targets["first valid"][~outside].all()


def test_background_of_either_crop_does_not_count() -> None:
    batch = two_crops(2)
    assert batch.second is not None
    batch.second.foreground = torch.zeros_like(batch.foreground)
    targets = distillation(2).draw_views(batch, torch.Generator().manual_seed(0)).targets
    assert not targets["first valid"].any()
    assert not targets["second valid"].any()


def test_the_student_sees_a_part_and_the_teacher_the_whole() -> None:
    batch, task = two_crops(2), distillation(2, cube_size=8, shown=0.5)
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    assert torch.equal(views.for_teacher["teacher: first"], batch.images["augmented"])
    shown = views.images["first"] != 0
    assert torch.equal(views.images["first"][shown], batch.images["augmented"][shown])
    assert 0.3 < shown.float().mean() < 0.7


def test_loss_is_one_minus_the_cosine_of_the_same_places() -> None:
    """Features are the coordinates themselves: equal places have equal features, whatever crop they are read in."""
    batch, task = two_crops(2, size=2), distillation(2, locations=30)
    assert batch.second is not None
    task.predictor = torch.nn.Identity()  # type: ignore[assignment]
    views = task.draw_views(batch, torch.Generator().manual_seed(0))

    def features(crop: PretrainingBatch) -> Features:
        assert crop.coordinates is not None
        return Features([], {-1: torch.cat([crop.coordinates / 10] * 4, dim=1)})

    second = batch.second
    named = {"first": features(batch), "second": features(second)}
    named |= {"teacher: first": features(batch), "teacher: second": features(second)}
    result = task(named, views, batch)
    assert result.loss.item() == pytest.approx(0, abs=1e-4)
    named["teacher: first"], named["teacher: second"] = named["teacher: second"], named["teacher: first"]
    assert task(named, views, batch).loss.item() > 1e-3


def test_spread_shows_a_collapse() -> None:
    batch, task = two_crops(2), distillation(2)
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    names = ["first", "second", "teacher: first", "teacher: second"]
    same = {name: Features([], {-1: torch.ones(4, 8, 32, 32)}) for name in names}
    assert task(same, views, batch).metrics["spread"].item() == pytest.approx(0, abs=1e-5)
    different = {name: Features([], {-1: 10 * torch.randn(4, 8, 32, 32)}) for name in names}
    assert task(different, views, batch).metrics["spread"] > 0.3


def test_the_teacher_follows_after_a_step_and_gets_no_gradient() -> None:
    plan = architecture(2, residual=False, stages=3, features=4)
    network = get_network_from_plans(
        plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 3, 2, deep_supervision=False
    )
    settings = DistillationSettings(weight=1.0, momentum=0.9)
    task = DenseDistillation(settings, NetworkShape(("a", "b", "c"), (32, 32), (8, 8), (4, 8, 16)))
    module = PretrainingNetwork(network, {"distillation": task}, {"distillation": task.needs(settings)})
    batch = two_crops(2)
    total, _ = module({"plans": batch}, {"distillation": task.draw_views(batch, torch.Generator().manual_seed(0))})
    total.backward()
    taught = [*module.teacher.parameters(), *task.teacher_projection.parameters()]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in taught)
    before = module.teacher.encoder.stages[0][0].convs[0].conv.weight.clone()
    with torch.no_grad():
        network.encoder.stages[0][0].convs[0].conv.weight.add_(1.0)
        task.after_step(network, module.teacher, progress=0.0)
    after = module.teacher.encoder.stages[0][0].convs[0].conv.weight
    torch.testing.assert_close(after, before + 0.1)
    task.after_step(network, module.teacher, progress=1.0)
    torch.testing.assert_close(after, before + 0.1)


def test_a_decoder_stage_the_network_has_not_is_refused() -> None:
    with pytest.raises(InputError, match=r"depth 1: 0 to 0 is expected"):
        DenseDistillation(DistillationSettings(depth=1), network_shape(2, 3))
