"""What a checkpoint or weights file says of itself, in lines for a person."""

from collections.abc import Iterator, Mapping
from typing import Any

from nnssl_plugin.checkpoints.nnssl_format import ADAPTATION_PLAN
from nnssl_plugin.checkpoints.recorded import (
    PAPERS,
    recorded_channels,
    recorded_citations,
    recorded_provenance,
    recorded_section,
)
from nnssl_plugin.checkpoints.unet_weights import summary


def describe(checkpoint: Mapping[str, Any]) -> list[str]:
    """Network, making, parents and papers; entries that the file does not have are left out."""
    recorded = recorded_provenance(checkpoint) or _from_nnunet(checkpoint) or _from_nnssl(checkpoint)
    lines = list(_entries({"network": summary(checkpoint["network_weights"]), **recorded}))
    papers = [paper for entry in recorded_citations(checkpoint) for paper in _papers(entry)]
    return [*lines, *(["please cite:"] if papers else []), *(f"  {paper}" for paper in papers)]


def _from_nnunet(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    arguments, plans = recorded_section(checkpoint, "init_args"), recorded_section(checkpoint, "init_args", "plans")
    if not plans:
        return {}
    return _known(
        made_by=checkpoint.get("trainer_name"),
        dataset=plans.get("dataset_name"),
        channel_names=recorded_channels(checkpoint),
        configuration=arguments.get("configuration"),
        plans=plans.get("plans_name"),
        fold=arguments.get("fold"),
        epochs=checkpoint.get("current_epoch"),
    )


def _from_nnssl(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    return _known(
        made_by=checkpoint.get("trainer_name"),
        dataset=recorded_section(checkpoint, ADAPTATION_PLAN, "pretrain_plan").get("dataset_name"),
        nnssl_architecture=recorded_section(checkpoint, ADAPTATION_PLAN, "architecture_plans").get("arch_class_name"),
        input_channels=recorded_section(checkpoint, ADAPTATION_PLAN).get("pretrain_num_input_channels"),
    )


def _known(**entries: Any) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value is not None and value != []}


def _entries(entries: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    for key, value in entries.items():
        title = str(key).replace("_", " ")
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
    return next((entry[key] for key in PAPERS if entry.get(key)), [])
