import math

import pytest
import torch
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.label_space import possible_labels
from nnssl_plugin.objectives.mosaic import block_map
from nnssl_plugin.objectives.objective import Features, NetworkShape
from nnssl_plugin.objectives.slem import SLeM, SLeMSettings
from tests.batches import make_batch, network_shape


def objective(shape: NetworkShape, **settings: object) -> SLeM:
    torch.manual_seed(0)
    return SLeM(SLeMSettings(**settings), shape)  # type: ignore[arg-type]


def features(batch: PretrainingBatch, shape: NetworkShape, dtype: torch.dtype = torch.float32) -> Tensor:
    size = [4] * (batch.images["augmented"].ndim - 2)
    return torch.randn(
        len(batch.images["augmented"]), shape.encoder_features[-1], *size, dtype=dtype, requires_grad=True
    )


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_view_shows_the_labelled_modalities(axes: int, channels: int) -> None:
    batch = make_batch(axes=axes, channels=channels, constant=True)
    shape = network_shape(axes, channels)
    slem = objective(shape, intensity=0.0, gap=0)
    views = slem.draw_views(batch, torch.Generator().manual_seed(0))
    assert views.images["mosaic"].shape == batch.images["augmented"].shape
    assert (views.images["mosaic"] == views.images["mosaic"][:, :1]).all(), "every input channel sees the same mosaic"
    corner = views.images["mosaic"][:, 0].flatten(1)
    assignment = slem.labels[views.targets["label"]]
    # Channel c of a constant batch is c + 1: the first voxel lies in block 0, the last in block 3.
    assert torch.equal(corner[:, 0], assignment[:, 0] + 1.0)
    assert torch.equal(corner[:, -1], assignment[:, 3] + 1.0)


def test_missing_modalities_are_never_shown_and_impossible_cases_do_not_count() -> None:
    batch = make_batch(axes=2, channels=3, size=64)
    batch.present[:, 1] = False
    batch.present[0] = torch.tensor([True, True, True])
    slem = objective(network_shape(2, 3))
    label = slem.draw_views(batch, torch.Generator().manual_seed(0)).targets["label"]
    assert not (slem.labels[label[1:]] == 1).any()
    batch.present[:3] = torch.tensor([False, True, False])
    views = slem.draw_views(batch, torch.Generator().manual_seed(0))
    assert views.targets["valid"].tolist() == [False] * 3 + [True] * 61, "one modality is nothing to classify"
    result = slem({"mosaic": Features([features(batch, network_shape(2, 3))])}, views, batch)
    # What is left lacks one modality of three: two in each of four blocks.
    assert result.metrics["accuracy_chance"].item() == pytest.approx(1 / 16)
    assert result.metrics["block_accuracy_chance"].item() == pytest.approx(1 / 2)


def test_with_four_modalities_a_case_is_used_for_what_it_has() -> None:
    batch, shape = make_batch(axes=2, channels=4, constant=True), network_shape(2, 4)
    batch.present[1, 0] = False
    batch.present[2] = torch.tensor([False, False, True, False])
    slem = objective(shape, intensity=0.0, gap=0)
    views = slem.draw_views(batch, torch.Generator().manual_seed(0))
    assert views.targets["valid"].tolist() == [True, True, False, True, True, True]
    assert set(slem.labels[views.targets["label"][1]].tolist()) == {1, 2, 3}
    bottleneck = features(batch, shape)
    result = slem({"mosaic": Features([bottleneck])}, views, batch)
    assert result.metrics["accuracy_chance"].item() == pytest.approx((4 / 24 + 1 / 36) / 5)
    result.loss.backward()
    assert bottleneck.grad is not None
    moved = bottleneck.grad.abs().flatten(1).sum(dim=1) > 0
    assert moved.tolist() == views.targets["valid"].tolist()


def test_no_features_no_knowledge() -> None:
    batch, shape = make_batch(axes=3, channels=4), network_shape(3, 4)
    slem = objective(shape)
    for parameter in slem.classifier.parameters():
        parameter.data.zero_()
    views = slem.draw_views(batch, torch.Generator().manual_seed(0))
    result = slem({"mosaic": Features([features(batch, shape)])}, views, batch)
    assert result.loss.item() == pytest.approx(math.log(24))


def test_chance_of_blocks_is_that_of_the_labels_a_case_can_have() -> None:
    batch = make_batch(axes=2, channels=3)
    batch.present[:, 2] = False
    slem = objective(network_shape(2, 3), label_space="max_hamming")
    possible = possible_labels(slem.labels, batch.present[:1], injective=False)[0]
    labels = slem.labels[possible]
    pairs = [(a == b).float().mean().item() for a in labels for b in labels]
    views = slem.draw_views(batch, torch.Generator().manual_seed(0))
    result = slem({"mosaic": Features([features(batch, network_shape(2, 3))])}, views, batch)
    assert len(labels) > 1
    assert result.metrics["block_accuracy_chance"].item() == pytest.approx(sum(pairs) / len(pairs))


def test_background_is_one_value_in_every_block() -> None:
    batch = make_batch(axes=2, channels=4)
    batch.foreground[:, :, :, :3] = False
    batch.images["augmented"] = torch.where(
        batch.foreground, batch.images["augmented"], torch.arange(4.0).view(1, 4, 1, 1)
    )
    views = objective(network_shape(2, 4)).draw_views(batch, torch.Generator().manual_seed(0))
    outside = views.images["mosaic"][:, :1][~batch.foreground].view(len(batch.images["augmented"]), -1)
    torch.testing.assert_close(outside, torch.full_like(outside, 1.5))


@pytest.mark.parametrize("gap", [0, 2])
def test_gap_shows_no_modality(gap: int) -> None:
    batch = make_batch(2, 4)
    batch.images["augmented"] += 5
    batch.foreground[:] = True
    slem = objective(network_shape(2, 4), gap=gap, denormalization_probability=0.5)
    images = slem.draw_views(batch, torch.Generator().manual_seed(0)).images["mosaic"]
    seam = block_map(batch.images["augmented"].shape[2:], gap) == 4
    # Without background there is no value to take but 0.
    assert torch.equal(images == 0, seam.expand_as(images))


def test_intensity_changes_blocks_by_the_stated_strength() -> None:
    batch = make_batch(axes=2, channels=4)
    plain = objective(network_shape(2, 4), intensity=0.0, gap=0).draw_views(batch, torch.Generator().manual_seed(0))
    changed = objective(network_shape(2, 4), intensity=0.1, gap=0).draw_views(batch, torch.Generator().manual_seed(0))
    block = (slice(None), 0, slice(0, 16), slice(0, 16))
    x, y = plain.images["mosaic"][block].flatten(1), changed.images["mosaic"][block].flatten(1)
    gain = y.std(dim=1) / x.std(dim=1)
    assert ((gain > 0.904) & (gain < 1.106)).all()
    assert (gain - 1).abs().max() > 0.01
    offset = y.mean(dim=1) - gain * x.mean(dim=1)
    assert offset.abs().max() <= 0.1 + 1e-4


def test_denormalized_blocks_are_used_at_probability_one() -> None:
    batch = make_batch(axes=2, channels=4)
    batch.images["denormalized"] = batch.images["augmented"] + 100
    slem = objective(network_shape(2, 4), intensity=0.0, gap=0, denormalization_probability=1.0)
    assert (slem.draw_views(batch, torch.Generator().manual_seed(0)).images["mosaic"] > 50).all()


def test_cross_entropy_and_accuracy_are_those_of_the_logits() -> None:
    batch, shape = make_batch(axes=2, channels=4), network_shape(2, 4)
    slem = objective(shape)
    views = slem.draw_views(batch, torch.Generator().manual_seed(0))
    bottleneck = features(batch, shape)
    result = slem({"mosaic": Features([bottleneck])}, views, batch)
    pooled = slem.pool(slem.fusion(bottleneck)).flatten(2)
    scores = [slem.classifier(pooled[:, :, block]) for block in range(4)]
    # Of a complete case the labels of four modalities.
    labels = [label for label in slem.labels.tolist() if len(set(label)) == 4]
    logits = torch.stack([sum(scores[b][:, m] for b, m in enumerate(label)) for label in labels], dim=1)
    truth = torch.tensor([labels.index(slem.labels[label].tolist()) for label in views.targets["label"]])
    probability = logits.softmax(dim=1)[torch.arange(len(logits)), truth]
    torch.testing.assert_close(result.loss, -probability.log().mean())
    assert result.metrics["accuracy_chance"].item() == pytest.approx(1 / 24)
    hits = (logits.argmax(dim=1) == truth).float().mean()
    assert result.metrics["accuracy"] == hits
    # The head sees position: the same features mirrored give other logits.
    assert not torch.allclose(slem({"mosaic": Features([bottleneck.flip(2)])}, views, batch).loss, result.loss)


def test_one_patch_and_half_precision() -> None:
    batch, shape = make_batch(axes=3, channels=4, size=1), network_shape(3, 4)
    slem = objective(shape).bfloat16()
    views = slem.draw_views(batch, torch.Generator().manual_seed(0))
    result = slem({"mosaic": Features([features(batch, shape, torch.bfloat16)])}, views, batch)
    assert result.loss.dtype == torch.float32
    assert torch.isfinite(result.loss)
