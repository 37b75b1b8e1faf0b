import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from nnssl_plugin.checkpoints.checkpoint_file import save_atomically, to_plain
from nnssl_plugin.checkpoints.provenance import NNUNET
from nnssl_plugin.checkpoints.recorded import PLUGIN, recorded_section
from nnssl_plugin.errors import InputError

ATTENTION = {
    "type": "Classification",
    "name": "gated attention over tiles",
    "apa_citations": [
        "Ilse, M., Tomczak, J., & Welling, M. (2018). Attention-based deep multiple instance learning. ICML."
    ],
}


def save_classifier(
    filename: str, save: Callable[[Any], None], columns: Mapping[str, Sequence[str]], provenance: Mapping[str, Any]
) -> None:
    """Write what nnU-Net saves, with the classes, whole or not at all, readable with `weights_only=True`.

    Args:
        filename: of the checkpoint.
        save: nnU-Net's `save_checkpoint`, which takes a stream as well as a name.
        columns: column → its classes.
        provenance: what it is made of.
    """
    stream = io.BytesIO()
    save(stream)
    stream.seek(0)
    content = torch.load(stream, map_location="cpu", weights_only=False)
    own = {"provenance": provenance, "classes": {column: list(names) for column, names in columns.items()}}
    save_atomically(to_plain({**content, "citations": [NNUNET, ATTENTION], PLUGIN: own}), filename)


def classes_of_checkpoint(checkpoint: Mapping[str, Any], file: str) -> dict[str, tuple[str, ...]]:
    """Column → classes of a classifier.

    Raises:
        InputError: it is none.
    """
    classes = recorded_section(checkpoint, PLUGIN, "classes")
    if not classes:
        raise InputError(f"{file} is no classifier: train one with SSLClassifyTrainer")
    return {str(column): tuple(names) for column, names in classes.items()}
