import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.local_contrastive import LocalContrast, LocalContrastiveSettings
from nnssl_plugin.objectives.local_info_nce import LocalInfoNCE
from nnssl_plugin.objectives.pair_losses import mean_of_pairs
from tests.batches import make_batch, network_shape, pair


def reference(first: Tensor, second: Tensor, patient: list[int], valid: list[bool], tau: float, of_each: int) -> float:
    """The definition, place by place of two a patch; `of_each` patch of others are negatives."""
    terms, patch = [], [i // 2 for i in range(len(patient))]
    for one, other in ((first, second), (second, first)):
        for i in range(len(one)):
            if not valid[i]:
                continue
            positive = math.exp(float(one[i] @ other[i]) / tau)
            negatives = [
                math.exp(float(one[i] @ other[j]) / tau)
                for j in range(len(one))
                if j != i and valid[j] and (patch[j] == patch[i] or (patient[j] != patient[i] and j % 2 < of_each))
            ]
            terms.append(-math.log(positive / (positive + sum(negatives))))
    return sum(terms) / len(terms)


def loss_of(first: Tensor, second: Tensor, patient: Tensor, valid: Tensor, tau: float, negatives: int = 1024) -> Tensor:
    loss = LocalInfoNCE(tau, negatives)
    return mean_of_pairs(loss(loss.similarity(first, second, patient, valid), valid))


@pytest.mark.parametrize("patient", [[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1]])
@pytest.mark.parametrize("valid", [[True] * 6, [True, False, True, True, False, True]])
@pytest.mark.parametrize(("negatives", "of_each"), [(6, 2), (512, 2), (5, 1), (1, 1)])
def test_value_is_that_of_the_definition(patient: list[int], valid: list[bool], negatives: int, of_each: int) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (F.normalize(torch.randn(6, 5, generator=generator), dim=1) for _ in range(2))
    by_patch = [tensor.unflatten(0, (3, 2)) for tensor in (first, second, torch.tensor(valid))]
    loss = loss_of(by_patch[0], by_patch[1], torch.tensor(patient[::2]), by_patch[2], 0.3, negatives)
    assert loss.item() == pytest.approx(reference(first, second, patient, valid, 0.3, of_each), rel=1e-5)


def test_similarities_grow_with_the_patches_and_not_with_their_square() -> None:
    loss = LocalInfoNCE(negatives=32)
    counts = []
    for patches in (4, 16):
        z = F.normalize(torch.randn(patches, 8, 5), dim=2)
        counts.append(loss.similarity(z, z, torch.arange(patches), torch.ones(patches, 8, dtype=torch.bool)).numel())
    assert counts[1] == 4 * counts[0] == 2 * 16 * 8 * (8 + 32)


def test_nothing_valid_is_zero_and_half_precision_is_scored_in_single() -> None:
    z = F.normalize(torch.randn(4, 1, 8), dim=2).requires_grad_()
    patient = torch.arange(4)
    loss = loss_of(z, z, patient, torch.zeros(4, 1, dtype=torch.bool), 0.2)
    loss.backward()
    assert loss.item() == 0
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    half = loss_of(z.half(), z.half(), patient, torch.ones(4, 1, dtype=torch.bool), 0.05)
    assert half.dtype == torch.float32


def stages(axes: int, size: int) -> list[Tensor]:
    """Features of two views at stage sizes 16 and 4, as `network_shape` has them."""
    return [torch.randn(2 * size, 8, *[16 if axes == 2 else 8] * axes), torch.randn(2 * size, 16, *[4] * axes)]


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("channels", [2, 4])
def test_perfect_features_find_their_place_and_collapsed_ones_do_not(axes: int, channels: int) -> None:
    torch.manual_seed(0)
    batch = make_batch(axes, channels)
    contrast = LocalContrast(
        LocalContrastiveSettings(weight=1, locations=20, depths=[1, 0]), network_shape(axes, channels)
    )
    views = contrast.draw_views(batch, torch.Generator().manual_seed(0))
    assert {view.shape for view in views.images.values()} == {batch.images["augmented"].shape}
    perfect = [stage[:6].repeat(2, *[1] * (axes + 1)) for stage in stages(axes, 6)]
    result = contrast(pair(*perfect), views, batch)
    assert result.metrics["retrieval"] == 1
    count = [20, 16 if axes == 2 else 20]
    assert result.metrics["retrieval_chance"].item() == pytest.approx(sum(1 / (6 * c) for c in count) / 2)
    collapsed = contrast(pair(*(torch.ones_like(stage) for stage in perfect)), views, batch)
    assert collapsed.metrics["retrieval"] < 0.1
    assert collapsed.loss.item() == pytest.approx(sum(math.log(6 * c) for c in count) / 2, rel=1e-4)


def test_background_places_and_one_modality_cases_do_not_count() -> None:
    batch, shape = make_batch(2, 4), network_shape(2, 4)
    batch.foreground[:, :, :16] = False
    batch.present[2] = torch.tensor([True, False, False, False])
    assert batch.denormalized_target is not None
    batch.denormalized_target[2] = torch.arange(4)
    contrast = LocalContrast(LocalContrastiveSettings(weight=1, depths=[1]), shape)
    views = contrast.draw_views(batch, torch.Generator().manual_seed(0))
    feature = torch.randn(12, 8, 16, 16, requires_grad=True)
    contrast(pair(feature, torch.randn(12, 16, 4, 4)), views, batch).loss.backward()
    assert feature.grad is not None
    used = feature.grad.abs().sum(dim=1)
    assert (used[:, :8] == 0).all(), "the upper half is background"
    assert (used[[2, 8]] == 0).all(), "patch 2 has no pair"
    assert (used[[0, 6], 8:] > 0).flatten(1).sum(dim=1).tolist() == [128, 128]


def test_same_modality_pairs_work_on_one_modality() -> None:
    batch = make_batch(2, 1)
    settings = LocalContrastiveSettings(weight=1, depths=[1], pairs="same")
    assert LocalContrast.needs(settings).modalities == 1
    assert LocalContrast.needs(LocalContrastiveSettings(depths=[1])).modalities == 2
    views = LocalContrast(settings, network_shape(2, 1)).draw_views(batch, torch.Generator().manual_seed(0))
    assert views.targets["valid"].all()
    assert torch.equal(views.images["target"], batch.images["augmented"])
    assert torch.equal(views.images["source"], batch.images["denormalized"])


@pytest.mark.parametrize("depths", [[2], [0, 0]])
def test_depths_the_network_has_not_are_refused(depths: list[int]) -> None:
    with pytest.raises(InputError, match="2 encoder stages"):
        LocalContrast(LocalContrastiveSettings(weight=1, depths=depths), network_shape(2, 4))
