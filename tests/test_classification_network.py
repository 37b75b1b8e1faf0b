import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch.nn import functional as F

from nnssl_plugin.classification.attention_pooling import GatedAttentionPooling, MeanPooling
from nnssl_plugin.classification.bag_size import bag_size
from nnssl_plugin.classification.labels import UNKNOWN, CaseClasses
from nnssl_plugin.classification.loss import ColumnsCrossEntropy, class_weights
from nnssl_plugin.classification.network import ClassificationNetwork
from nnssl_plugin.classification.predict_case import predict_case
from nnssl_plugin.classification.saliency import attention_map, grad_cam
from nnssl_plugin.classification.temperature import fitted_temperature, with_temperature
from nnssl_plugin.classification.tiles import read_tiles, tile_starts
from nnssl_plugin.errors import InputError
from nnssl_plugin.settings.settings import ClassificationSettings
from tests.pretraining_networks import stock_network
from tests.synthetic import brain, make_plans

CPU = torch.device("cpu")


def network(axes: int, residual: bool = False, **settings) -> ClassificationNetwork:
    torch.manual_seed(0)
    return ClassificationNetwork(stock_network(axes, residual), [2, 3], ClassificationSettings(**settings)).eval()


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("residual", [False, True])
def test_shapes_and_gradients(axes: int, residual: bool) -> None:
    net = network(axes, residual)
    bags = torch.randn(2, 3, 4, *[16] * axes)
    logits = net(bags)
    assert [tuple(one.shape) for one in logits] == [(2, 2), (2, 3)]
    sum(one.square().sum() for one in logits).backward()
    assert all(p.grad is not None for p in net.parameters())
    assert all(p.grad.abs().sum() > 0 for p in net.head.parameters() if p.ndim > 1)
    assert not any("decoder" in name for name, _ in net.named_parameters())


def test_a_stage_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"3 stages, so -4 is none"):
        network(2, stages=[-1, -4])


def test_attention_is_the_papers_equation() -> None:
    torch.manual_seed(0)
    pooling, tiles = GatedAttentionPooling(5), torch.randn(1, 4, 5)
    pooled, weights = pooling(tiles)
    scores = [pooling.score(torch.tanh(pooling.value(t)) * torch.sigmoid(pooling.gate(t))).squeeze() for t in tiles[0]]
    expected = torch.softmax(torch.stack(scores), 0)
    assert torch.allclose(weights[0], expected)
    assert torch.allclose(pooled[0], (expected[:, None] * tiles[0]).sum(0))


@pytest.mark.parametrize("pooling", [GatedAttentionPooling(5), MeanPooling()])
def test_pooling_does_not_know_the_order_of_tiles(pooling: torch.nn.Module) -> None:
    tiles = torch.randn(2, 6, 5)
    pooled, weights = pooling(tiles)
    order = torch.randperm(6)
    assert torch.allclose(pooling(tiles[:, order])[0], pooled, atol=1e-6)
    assert torch.allclose(weights.sum(1), torch.ones(2))


def test_loss_leaves_unknown_classes_out() -> None:
    logits, target = [torch.randn(3, 2), torch.randn(3, 4)], torch.tensor([[0, UNKNOWN], [1, UNKNOWN], [0, 3]])
    loss = ColumnsCrossEntropy([torch.ones(2), torch.ones(4)], 0.0)(logits, target)
    expected = (F.cross_entropy(logits[0], target[:, 0]) + F.cross_entropy(logits[1][2:], target[2:, 1])) / 2
    assert torch.allclose(loss, expected)
    nothing = ColumnsCrossEntropy([torch.ones(2)], 0.1)(logits[:1], torch.full((3, 1), UNKNOWN))
    assert nothing == 0


def test_rare_classes_weigh_more() -> None:
    classes = CaseClasses({"a": ("x", "y")}, {"1": (0,), "2": (0,), "3": (0,), "4": (1,), "5": (UNKNOWN,)}, ())
    (weights,) = class_weights(classes, ["1", "2", "3", "4", "5"], balanced=True)
    assert weights.tolist() == pytest.approx([4 / 6, 4 / 2])
    # On average over cases 1.
    assert (3 * weights[0] + weights[1]) / 4 == pytest.approx(1)
    assert class_weights(classes, ["1", "4"], balanced=False)[0].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("patch", "shape"), [((16, 16), (3, 20, 30)), ((40, 16), (2, 20, 9)), ((8, 16, 16), (9, 20, 30))]
)
def test_tiles_cover_the_foreground(patch: tuple[int, ...], shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    starts = tile_starts(image, patch)
    size = (1, *patch) if len(patch) == 2 else patch
    seen = np.zeros(shape, bool)
    for start in starts:
        seen[tuple(slice(max(int(s), 0), int(s) + n) for s, n in zip(start, size, strict=True))] = True
    assert seen.all()
    tiles = torch.cat(list(read_tiles(image, starts, patch)))
    assert tiles.shape == (len(starts), 2, *patch)


@pytest.mark.parametrize(("voxels", "sizes"), [(10**9, [32, 8]), (3 * 16 * 16, [3] * 13 + [1]), (1, [1] * 40)])
def test_a_batch_has_as_many_tiles_as_there_is_memory_for(
    voxels: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nnssl_plugin.classification.tiles.VOXELS_AT_ONCE", voxels)
    image = np.random.default_rng(0).normal(size=(1, 40, 16, 16)).astype(np.float32)
    batches = list(read_tiles(image, tile_starts(image, (16, 16)), (16, 16)))
    assert [len(batch) for batch in batches] == sizes
    assert torch.equal(torch.cat(batches)[:, 0], torch.from_numpy(image[0]))


def test_tiles_without_the_patient_are_left_out() -> None:
    image = np.full((1, 6, 32, 32), -1.0, np.float32)
    image[0, 2, 4:28, 4:28] = np.random.default_rng(0).normal(size=(24, 24))
    assert tile_starts(image, (32, 32)).tolist() == [[2, 0, 0]]
    assert len(tile_starts(np.zeros((1, 2, 32, 32), np.float32), (32, 32))) == 2


@pytest.mark.parametrize("axes", [2, 3])
def test_a_whole_case_is_the_bag_of_its_tiles(axes: int) -> None:
    net, image = network(axes), brain(0)
    patch = (16,) * axes
    predicted = predict_case(net, image, patch, CPU)
    tiles = torch.cat(list(read_tiles(image, predicted.starts, patch)))
    with torch.no_grad():
        whole = net(tiles[None])
    assert torch.allclose(predicted.logits[0], whole[0][0], atol=1e-5)
    assert predicted.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("axes", [2, 3])
def test_grad_cam_is_the_gradient_by_the_maps(axes: int) -> None:
    net, image, patch = network(axes, stages=[-1]), brain(0), (16,) * axes
    predicted = predict_case(net, image, patch, CPU)
    ours = grad_cam(net, image, predicted, 1, 2, patch, CPU)
    tiles = torch.cat(list(read_tiles(image, predicted.starts, patch)))
    (maps,) = net.feature_maps(tiles)
    maps.retain_grad()
    logits, _ = net.classify(maps.flatten(2).mean(2)[None])
    logits[1][0, 2].backward()
    # Selvaraju's weights are the means of the gradient over space; ours are its sums, a constant factor more.
    weights = maps.grad.flatten(2).sum(2)
    cam = torch.einsum("nc...,nc->n...", maps, weights)[:, None]
    cam = F.interpolate(cam, patch, mode="bilinear" if axes == 2 else "trilinear").relu()[:, 0].detach().numpy()
    total, count = np.zeros(image.shape[1:]), np.zeros(image.shape[1:])
    for one, start in zip(cam, predicted.starts, strict=True):
        size = (1, *patch) if axes == 2 else patch
        place = tuple(slice(int(s), int(s) + n) for s, n in zip(start, size, strict=True))
        total[place] += one
        count[place] += 1
    assert np.allclose(ours, total / np.maximum(count, 1), atol=1e-5)
    attention = attention_map(predicted, image.shape[1:], patch)
    assert attention.shape == image.shape[1:]
    assert attention.max() > 0


def test_temperature_recovers_what_was_overconfident() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)) * 2
    honest = with_temperature(np.exp(logits) / np.exp(logits).sum(1, keepdims=True), 1.0)
    truth = np.array([rng.choice(3, p=p) for p in honest])
    overconfident = with_temperature(honest, 1 / 3)
    assert fitted_temperature(truth, overconfident) == pytest.approx(3, rel=0.1)
    assert np.allclose(with_temperature(overconfident, 3), honest, atol=1e-6)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("name", "batch_size"), [("2d", 2), ("2d", 40), ("3d_fullres", 2)])
def test_a_step_costs_no_more_than_a_supervised_one(name: str, batch_size: int, residual: bool) -> None:
    plans = make_plans(residual=residual)
    plans["configurations"][name]["batch_size"] = batch_size
    configuration = PlansManager(plans).get_configuration(name)
    size = bag_size(ClassificationSettings(), configuration, 4)
    assert (size.cases >= 2 and size.tiles >= 1 and size.cost <= 1) or (size.cases, size.tiles) == (2, 1)
    assert batch_size < 40 or (size.cases, size.tiles) == (8, 8)
    chosen = bag_size(ClassificationSettings(cases_per_step=6, tiles=5), configuration, 4)
    assert (chosen.cases, chosen.tiles) == (6, 5)
    assert chosen.cost == pytest.approx(size.cost * 30 / (size.cases * size.tiles))
