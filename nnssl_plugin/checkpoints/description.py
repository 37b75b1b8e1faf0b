"""What a checkpoint or weights file says of itself, in lines for a person."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from nnssl_plugin.checkpoints.nnssl_format import ADAPTATION_PLAN
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.source import recorded_channels, recorded_provenance
from nnssl_plugin.export.topology import SEGMENTATION, family


def describe(checkpoint: Mapping[str, Any]) -> list[str]:
    """Network, making, parents and papers; entries that the file does not have are left out."""
    made = recorded_provenance(checkpoint)
    recorded = made or _from_nnunet(checkpoint) or _from_nnssl(checkpoint)
    lines = list(_entries({"network": _network(checkpoint["network_weights"]), **recorded}))
    papers = [paper for entry in checkpoint.get("citations", []) for paper in _papers(entry)]
    return [*lines, *(["please cite:"] if papers else []), *(f"  {paper}" for paper in papers)]


def _network(weights: Mapping[str, Tensor]) -> str:
    try:
        kind = family(weights)
    except InputError:
        return f"no U-Net of nnU-Net's; {len(weights)} tensors"
    widths = {}
    for name, value in weights.items():
        match = re.match(r"encoder\.stages\.(\d+)\.", name)
        if match and value.ndim > 3:
            widths[int(match[1])] = value.shape[0]
    features = " ".join(str(widths[stage]) for stage in sorted(widths))
    heads = [value.shape[0] for name, value in weights.items() if SEGMENTATION in name and name.endswith("weight")]
    output = f", {heads[-1]} segmentation outputs" if heads else ", no decoder"
    return f"{kind} U-Net, features {features}{output}"


def _from_nnunet(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    arguments = checkpoint.get("init_args", {})
    if "trainer_name" not in checkpoint or "plans" not in arguments:
        return {}
    plans = arguments["plans"]
    return {
        "made_by": checkpoint["trainer_name"],
        "dataset": plans["dataset_name"],
        "channel_names": recorded_channels(checkpoint),
        "configuration": arguments.get("configuration"),
        "plans": plans["plans_name"],
        "fold": arguments.get("fold"),
        "epochs": checkpoint.get("current_epoch"),
    }


def _from_nnssl(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    plan = checkpoint.get(ADAPTATION_PLAN, {})
    named = {"made_by": checkpoint.get("trainer_name"), "dataset": plan.get("pretrain_plan", {}).get("dataset_name")}
    architecture = plan.get("architecture_plans", {}).get("arch_class_name")
    channels = plan.get("pretrain_num_input_channels")
    found = {**named, "nnssl architecture": architecture, "input channels": channels}
    return {key: value for key, value in found.items() if value is not None}


def _entries(entries: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in entries.items():
        title = key.replace("_", " ")
        if isinstance(value, Mapping) and key != "versions":
            yield f"{indent}{title}:"
            yield from _entries(value, indent + "  ")
        elif isinstance(value, Mapping):
            yield f"{indent}{title}: {', '.join(f'{name} {number}' for name, number in value.items())}"
        elif isinstance(value, list):
            yield f"{indent}{title}: {', '.join(map(str, value)) or 'none'}"
        else:
            yield f"{indent}{title}: {value}"


def _papers(entry: Mapping[str, Any]) -> list[str]:
    return list(entry.get("apa_citations") or entry.get("bibtex_citations") or [])
