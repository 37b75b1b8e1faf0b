import math

import pytest
import torch

from nnssl_plugin.measures.histogram_shortcut import HistogramShortcut, block_histograms, histogram_accuracy
from nnssl_plugin.objectives.label_space import label_space, possible_labels
from nnssl_plugin.objectives.mosaic import block_map
from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.objectives.slem import SLeM, SLeMSettings
from tests.batches import make_batch, network_shape


def test_histograms_are_those_of_the_foreground_of_each_block() -> None:
    mosaic = torch.arange(64.0).view(1, 8, 8)
    foreground = torch.ones(1, 8, 8, dtype=torch.bool)
    foreground[:, :4, :4] = False
    rows = block_histograms(mosaic, foreground, block_map((8, 8)))
    assert rows.shape == (1, 4, 12)
    assert rows[0, 0].isnan().all()
    block = mosaic[0, 4:, 4:].flatten().double()
    assert rows[0, 3, 0].item() == pytest.approx(block.mean().item())
    assert rows[0, 3, 1].item() == pytest.approx(block.std(correction=0).item())
    assert rows[0, 3, 2].item() == pytest.approx(torch.quantile(block, 0.05).item())


def test_different_histograms_are_told_apart_and_equal_ones_are_not() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = label_space("product", 3)
    label = torch.randint(0, len(labels), (60,), generator=generator)
    possible = torch.ones(60, len(labels), dtype=torch.bool)
    noise = torch.randn(60, 4, 12, generator=generator)
    told = noise + 20 * labels[label][..., None]
    assert histogram_accuracy(told, label, possible, labels) == 1
    assert histogram_accuracy(noise, label, possible, labels) < 0.5
    assert math.isnan(histogram_accuracy(noise[:1], label[:1], possible[:1], labels))


def test_what_is_known_of_the_label_counts_for_the_histogram_too() -> None:
    """Of four different modalities three are told apart; the fourth block, without foreground, is what is left."""
    generator = torch.Generator().manual_seed(0)
    labels = label_space("injective", 4)
    possible = possible_labels(labels, torch.ones(60, 4, dtype=torch.bool), injective=True)
    label = torch.multinomial(possible.float(), 1, generator=generator)[:, 0]
    told = torch.randn(60, 4, 12, generator=generator) + 20 * labels[label][..., None]
    told[torch.arange(60), torch.arange(60) % 4] = torch.nan
    assert histogram_accuracy(told, label, possible, labels) == 1


@pytest.mark.parametrize("batches", [1, 2])
def test_what_the_head_has_beyond_the_histogram(batches: int) -> None:
    torch.manual_seed(0)
    slem, generator = SLeM(SLeMSettings(), network_shape(2, 4)), torch.Generator().manual_seed(0)
    measure, named, label = HistogramShortcut(slem), [], []
    for _ in range(batches):
        batch = make_batch(2, 4, size=40 // batches)
        # Every modality has its own mean, which is all a histogram needs.
        batch.images["augmented"] += torch.arange(4.0).view(1, 4, 1, 1) * 10
        # A case with one modality has nothing to name.
        batch.present[0, 1:] = False
        views = slem.draw_views(batch, generator)
        features = {"mosaic": Features([torch.randn(40 // batches, 16, 4, 4)])}
        measure.update(features, views, batch)
        named.append(slem.logits(features, views).argmax(dim=1)[1:])
        label.append(views.targets["label"][1:])
    measured = measure.compute()
    assert measured["histogram_block_accuracy"] == 1
    head = (slem.labels[torch.cat(named)] == slem.labels[torch.cat(label)]).float().mean().item()
    assert measured["block_accuracy_beyond_histogram"] == pytest.approx(head - 1)
