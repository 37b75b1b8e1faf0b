import math

import pytest
import torch
from pydantic import ValidationError

from nnssl_plugin.objectives.jigen import JiGen, JiGenSettings
from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.objectives.tiles import cut_tiles
from tests.batches import make_batch, network_shape


def objective(axes: int, permutations: int = 31) -> JiGen:
    torch.manual_seed(0)
    return JiGen(JiGenSettings(permutations=permutations), network_shape(axes, 3))


@pytest.mark.parametrize("axes", [2, 3])
def test_view_is_the_patch_with_its_tiles_in_the_order_of_the_label(axes: int) -> None:
    batch = make_batch(axes, 3)
    task = objective(axes)
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    before = cut_tiles(batch.images["augmented"], task.grid)
    after = cut_tiles(views.images["shuffled"], task.grid)
    for i, label in enumerate(views.targets["label"].tolist()):
        for place, tile in enumerate(task.permutations[label].tolist()):
            assert torch.equal(after[i, place], before[i, tile]), "all modalities of a tile stay together"
    assert views.images["shuffled"].shape == batch.images["augmented"].shape


def test_first_class_is_the_patch_itself() -> None:
    batch = make_batch(3, 3, size=40)
    views = objective(3, permutations=2).draw_views(batch, torch.Generator().manual_seed(0))
    same = (views.images["shuffled"] == batch.images["augmented"]).flatten(1).all(dim=1)
    assert torch.equal(same, views.targets["label"] == 0)
    assert 10 < same.sum() < 30


def test_no_features_no_knowledge() -> None:
    batch = make_batch(2, 3)
    task = objective(2)
    for parameter in task.classifier.parameters():
        parameter.data.zero_()
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    result = task({"shuffled": Features([torch.randn(6, 16, 4, 4)])}, views, batch)
    assert result.loss.item() == pytest.approx(math.log(31))
    assert result.metrics["accuracy_chance"].item() == pytest.approx(1 / 31)


def test_loss_and_accuracy_of_known_logits() -> None:
    batch = make_batch(2, 3)
    task = objective(2)
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    logits = torch.randn(6, 31)
    task.classifier = torch.nn.Identity()
    task.pool = torch.nn.Identity()
    result = task({"shuffled": Features([logits.view(6, 31, 1, 1)])}, views, batch)
    label = views.targets["label"]
    rows = torch.arange(6)
    torch.testing.assert_close(result.loss, -logits.softmax(dim=1)[rows, label].log().mean())
    right = sum(int(logits[i].argmax()) == int(label[i]) for i in range(6))
    assert result.metrics["accuracy"].item() == pytest.approx(right / 6)


def test_one_permutation_is_nothing_to_classify() -> None:
    with pytest.raises(ValidationError):
        JiGenSettings(permutations=1)
