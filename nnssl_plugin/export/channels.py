"""Which input channel of a checkpoint feeds which channel of a target, and the first convolution that follows."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from nnssl_plugin.errors import InputError

# Names of one modality in different data sets, in lower case without punctuation.
ALIASES = {
    "t1": ("t1", "t1n", "t1w"),
    "t1c": ("t1c", "t1ce", "t1gd", "t1post"),
    "t2": ("t2", "t2w"),
    "flair": ("flair", "t2f"),
}
# Modalities of one scan resemble each other; measured between 0.25 and 0.8 in brains (docs/results-0.2.0.md). Ours.
CORRELATION = 0.5


def canonical_name(name: str) -> str:
    """One name for all aliases of a modality; any other name in lower case without punctuation."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    return next((modality for modality, names in ALIASES.items() if plain in names), plain)


def match_channels(source: Sequence[str], target: Sequence[str], overrides: Mapping[str, str]) -> list[int | None]:
    """Index of the source's channel for each channel of the target, None where none has its name.

    Args:
        source: channel names of the checkpoint.
        target: channel names of the target, as they are in its `dataset.json`.
        overrides: target channel → source channel, over what the names say.

    Raises:
        InputError: an override names an unknown channel, a name fits two channels, or no channel fits at all.
    """
    for wanted, given in overrides.items():
        if wanted not in target or given not in source:
            raise InputError(
                f"--map {wanted}={given}: a channel of the target ({', '.join(target)}) = a channel of the checkpoint "
                f"({', '.join(source)}) is expected"
            )
    matched = [
        source.index(overrides[name]) if name in overrides else _channel_named(name, source, target) for name in target
    ]
    if all(index is None for index in matched):
        raise InputError(
            f"no channel of the target ({', '.join(target)}) has the name of one of the checkpoint "
            f"({', '.join(source)}): say which it resembles, --map {target[0]}={source[0]}"
        )
    return matched


def _channel_named(name: str, source: Sequence[str], target: Sequence[str]) -> int | None:
    if name in source:
        return list(source).index(name)
    fitting = [i for i, other in enumerate(source) if canonical_name(other) == canonical_name(name)]
    if len(fitting) > 1:
        names = ", ".join(source[i] for i in fitting)
        raise InputError(
            f"channel {name} of the target fits several of the checkpoint ({names}): choose, --map {name}=…"
        )
    return fitting[0] if fitting else None


def adapt_input(weight: Tensor, channels: Sequence[int | None]) -> Tensor:
    """The first convolution for other input channels.

    A channel of the target gets the filter of its source channel, an unmatched one the mean filter. Where channels are
    dropped, repeated or added, each output is scaled so that it varies as much as before on channels that correlate
    by `CORRELATION`; the same channels in another order are only reordered.

    Shape: `[O, C, *K]` → `[O, len(channels), *K]`.
    """
    chosen = torch.stack([weight.mean(dim=1) if i is None else weight[:, i] for i in channels], dim=1)
    if sorted(-1 if i is None else i for i in channels) == list(range(weight.shape[1])):
        return chosen
    before, after = _response_power(weight), _response_power(chosen)
    scale = torch.where(
        after > 0, before / after.clamp_min(torch.finfo(after.dtype).tiny), torch.ones_like(after)
    ).sqrt()
    return chosen * scale.view(-1, *[1] * (weight.ndim - 1)).to(weight.dtype)


def _response_power(weight: Tensor) -> Tensor:
    """`[O]`, variance of each output for channels of unit variance and of one common correlation."""
    filters = weight.double().flatten(2)
    alone, together = filters.square().sum(dim=(1, 2)), filters.sum(dim=1).square().sum(dim=1)
    return (1 - CORRELATION) * alone + CORRELATION * together
