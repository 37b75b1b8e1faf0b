from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from tqdm import trange

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.measures.measurements import CompletePatch, PretextMeasurements
from nnssl_plugin.measures.registry import MEASURES
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.objectives.representation import effective_rank
from nnssl_plugin.plots.example import Example
from nnssl_plugin.pretraining.epoch import epoch_means
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from nnssl_plugin.pretraining.step import PretrainingStep

# Batches the embedding map is drawn from; more points would hide each other.
MAPPED = 8


@dataclass
class _Pooled:
    """Pooled features of one-modality views, with patient and modality of each."""

    features: list[Tensor] = field(default_factory=list)
    patients: list[int] = field(default_factory=list)
    modalities: list[str] = field(default_factory=list)


def measure_pretext(
    step: PretrainingStep,
    draw: Callable[[], Mapping[str, Any]],
    batches: int,
    modalities: Sequence[str],
    quiet: bool = False,
) -> PretextMeasurements:
    """Measure the objectives on unaugmented patches of the training images.

    Args:
        step: its generator draws the views.
        draw: the next batch of a loader whose patches are not augmented and have a clean image.
        batches: number of them.
        modalities: channel names.
        quiet: no progress bar. Under DDP every process takes part; the means are over all, the rest is of one's own.
    """
    network = step.network.eval()
    measures = {name: MEASURES[name](o) for name, o in network.objectives.items() if name in MEASURES}
    outputs, pooled, mapped = [], [], _Pooled()
    complete: CompletePatch | None = None
    with torch.no_grad():
        for number in trange(batches, desc="Measuring", disable=quiet):
            drawn = step.batches(draw())
            values, views, features = step.look(drawn)
            outputs.append(values)
            for name, measure in measures.items():
                measure.update(features[name], views[name], drawn[network.needs[name].patches])
            # The smaller patches show more patients.
            patches = drawn.get("patients") or drawn["plans"]
            pooled.append(_pool(network, patches.images["clean"]))
            complete = complete or _complete(patches)
            if number < MAPPED:
                for channel, name in enumerate(modalities):
                    _add_modality(mapped, network, patches, channel, name)
    means = epoch_means(outputs)
    for name, measure in measures.items():
        means |= {f"{name}/{key}": value for key, value in measure.compute().items()}
    joined = torch.cat(pooled)
    return PretextMeasurements(
        means,
        len(joined),
        effective_rank(joined),
        min(len(joined) - 1, joined.shape[1]),
        torch.cat(mapped.features),
        mapped.patients,
        mapped.modalities,
        {
            name: Example(objective, features[name], views[name], drawn[network.needs[name].patches])
            for name, objective in network.objectives.items()
        },
        complete,
    )


def _pool(network: PretrainingNetwork, images: Tensor) -> Tensor:
    """`[N, C, *P]` → `[N, F]`, the lowest trained stage averaged over space."""
    return encoder_features(network.network, images)[network.lowest_stage].flatten(2).mean(dim=2)


def _complete(batch: PretrainingBatch) -> CompletePatch | None:
    rows = batch.present.all(dim=1).nonzero().flatten().tolist()
    if not rows:
        return None
    row = rows[0]
    return CompletePatch(batch.images["clean"][row].cpu(), batch.foreground[row].cpu(), int(batch.patient[row]))


def _add_modality(
    pooled: _Pooled, network: PretrainingNetwork, batch: PretrainingBatch, channel: int, name: str
) -> None:
    """Add the features of one modality of the cases that have it."""
    there = batch.present[:, channel]
    if not there.any():
        return
    images = batch.images["clean"]
    expanded = images[there, channel : channel + 1].expand(-1, images.shape[1], *batch.patch_size)
    pooled.features.append(_pool(network, expanded))
    pooled.patients += batch.patient[there].tolist()
    pooled.modalities += [name] * int(there.sum())
