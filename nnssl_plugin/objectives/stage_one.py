"""What stage two takes of a checkpoint of stage one beside the network, which comes by `-pretrained_weights`."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from nnssl_plugin.errors import InputError

OBJECTIVE = "report_contrast"
# Part of stage one's objective → part of stage two's.
TAKEN = {
    "tokens": "regions.tokens",
    "projection": "regions.projection",
    "text": "text",
    "text_projection": "text_projection",
    "loss": "loss",
}


def check_network(active: Mapping[str, Any]) -> None:
    """Check that no heads of stage one are to go on with a network of fresh weights, which is what a run is about to train.

    Args:
        active: name → settings of the run's objectives.

    Raises:
        InputError: otherwise.
    """
    for name, settings in active.items():
        if (file := getattr(settings, "stage_one", None)) is not None:
            raise InputError(
                f"{name} goes on with the heads of stage_one={file}, but the network has fresh weights: start again with "
                f"-pretrained_weights {file}"
            )


def heads_of_stage_one(file: str, stage: int) -> dict[str, Any]:
    """Name → value, of the heads of stage one.

    Args:
        file: a checkpoint.
        stage: encoder stage that stage two looks at.

    Raises:
        InputError: it cannot be read, is no checkpoint of `report_contrast`, or looked at another stage.
    """
    from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
    from nnssl_plugin.checkpoints.recorded import PLUGIN, recorded_section

    checkpoint, prefix = read_checkpoint(file), f"{OBJECTIVE}."
    heads = recorded_section(checkpoint, PLUGIN, "heads")
    own = {key.removeprefix(prefix): value for key, value in heads.items() if key.startswith(prefix)}
    if not own:
        raise InputError(f"stage_one={file} holds no head of {OBJECTIVE}: expected a checkpoint of --preset reports")
    before = recorded_section(checkpoint, "init_args", PLUGIN, "objectives", OBJECTIVE).get("stage")
    if before != stage:
        raise InputError(f"stage_one={file} looked at encoder stage {before}, this run at {stage}: make them equal")
    return own


def take_heads(objective: nn.Module, heads: dict[str, Any], file: str) -> None:
    """Load the heads of stage one that stage two has too.

    Raises:
        InputError: they were trained under other settings of the text or of the vectors.
    """
    for part, name in TAKEN.items():
        own = {key.removeprefix(f"{part}."): value for key, value in heads.items() if key.partition(".")[0] == part}
        try:
            objective.get_submodule(name).load_state_dict(own)
        except RuntimeError as error:
            raise InputError(
                f"stage_one={file} has another text encoder or other vectors: give text.* and embedding_size the values that "
                f"{OBJECTIVE} had there. {error}"
            ) from None
