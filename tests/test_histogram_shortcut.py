import math

import pytest
import torch

from nnssl_plugin.objectives.histogram_shortcut import block_histograms, histogram_accuracy
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
    modalities = torch.randint(0, 3, (60, 4), generator=generator)
    patients = torch.arange(60) % 10
    noise = torch.randn(60, 4, 12, generator=generator)
    assert histogram_accuracy(noise + 20 * modalities[..., None], modalities, patients) == 1
    assert histogram_accuracy(noise, modalities, patients) < 0.5
    assert math.isnan(histogram_accuracy(noise, modalities, torch.zeros(60, dtype=torch.long)))


def test_slem_reports_what_the_head_has_beyond_the_histogram() -> None:
    torch.manual_seed(0)
    batch, shape = make_batch(2, 4, size=40), network_shape(2, 4)
    # Every modality has its own mean, which is all a histogram needs.
    batch.data = batch.data + torch.arange(4.0).view(1, 4, 1, 1) * 10
    slem = SLeM(SLeMSettings(), shape)
    views = slem.draw_views(batch, torch.Generator().manual_seed(0))
    evidence = slem.evidence(Features([torch.randn(40, 16, 4, 4)]), views, batch)
    summary = slem.summary(evidence)
    assert summary["histogram_block_accuracy"] == 1
    head = (evidence["named"] == evidence["modalities"]).float().mean().item()
    assert summary["block_accuracy_beyond_histogram"] == pytest.approx(head - 1)
