"""What a checkpoint says of its own making, whoever wrote it.

All of it is optional, and files from elsewhere hold anything there: what is not of the expected kind counts as absent.
"""

from collections.abc import Mapping
from typing import Any

from nnssl_plugin.checkpoints.provenance import Citation
from nnssl_plugin.nnunet.dataset_json import channel_names

PLUGIN = "nnssl_plugin"
PAPERS = ("apa_citations", "bibtex_citations")


def recorded_section(content: Any, *names: str) -> dict[str, Any]:
    """The mapping under these names, one inside the other; empty where one of them is missing or something else."""
    for name in names:
        content = content.get(name) if isinstance(content, Mapping) else None
    return dict(content) if isinstance(content, Mapping) else {}


def recorded_provenance(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What this plugin wrote about the making of a checkpoint; empty for others."""
    return recorded_section(checkpoint, PLUGIN, "provenance")


def recorded_channels(checkpoint: Mapping[str, Any]) -> list[str]:
    """Channel names by the plugin's provenance or nnU-Net's `init_args`; none where neither is there."""
    own = recorded_provenance(checkpoint).get("channel_names")
    if isinstance(own, list) and own:
        return [str(name) for name in own]
    stored = recorded_section(checkpoint, "init_args", "dataset_json")
    names = {key: found for key in ("channel_names", "modality") if (found := recorded_section(stored, key))}
    try:
        return channel_names(names)
    except (TypeError, ValueError):
        # Their keys are no numbers.
        return []


def recorded_citations(checkpoint: Mapping[str, Any]) -> list[Citation]:
    """Papers to cite, in nnssl's format; a paper given as bare text gets an entry of its own."""
    stored = checkpoint.get("citations")
    entries = stored if isinstance(stored, list | tuple) else [stored]
    return [found for entry in entries if (found := _citation(entry))]


def _citation(entry: Any) -> Citation:
    if isinstance(entry, str):
        return {"type": "Citation", "name": "", "apa_citations": [entry]} if entry.strip() else {}
    if not isinstance(entry, Mapping):
        return {}
    return {**entry, **{key: _texts(entry[key]) for key in PAPERS if key in entry}}


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text for text in values if isinstance(text, str) and text.strip()]
