"""What a checkpoint is made of: versions, data, recipe and papers; nothing that identifies a patient or a machine."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from nnssl_plugin import __version__

# The format of nnssl's checkpoints, which nnU-Net's main branch prints.
Citation = dict[str, Any]

NNUNET: Citation = {
    "type": "Framework",
    "name": "nnU-Net",
    "apa_citations": [
        "Isensee, F., Jaeger, P. F., Kohl, S. A., Petersen, J., & Maier-Hein, K. H. (2021). nnU-Net: a self-configuring "
        "method for deep learning-based biomedical image segmentation. Nature Methods, 18(2), 203-211."
    ],
}


def provenance(made_by: str, dataset: str, channels: Sequence[str], configuration: str, **more: Any) -> dict[str, Any]:
    """Versions of what was used, the data set and its channels, and `more` that the maker knows.

    Args:
        made_by: name of the trainer or command.
        dataset: full name of the data set, without cases.
        channels: channel names in order.
        configuration: of the plans.
        more: plain values only.
    """
    versions = {"nnssl_plugin": __version__, "nnunetv2": version("nnunetv2"), "torch": str(torch.__version__)}
    return {
        "made_by": made_by,
        "versions": versions,
        "dataset": dataset,
        "channel_names": list(channels),
        "configuration": configuration,
        **more,
    }


def citations_of(objectives: Mapping[str, Any]) -> list[Citation]:
    """Papers behind these objectives (name → class), and nnU-Net's."""
    papers = [
        {"type": "Pretraining objective", "name": name, "apa_citations": list(objective.citations)}
        for name, objective in objectives.items()
        if objective.citations
    ]
    return [*papers, NNUNET]


def weights_sha256(tensors: Iterable[torch.Tensor]) -> str:
    """SHA-256 over the bytes of tensors, wherever they are."""
    result = hashlib.sha256()
    for tensor in tensors:
        result.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return result.hexdigest()


def file_sha256(file: Path) -> str:
    """SHA-256 of a file."""
    result = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            result.update(chunk)
    return result.hexdigest()
