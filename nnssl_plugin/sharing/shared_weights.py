from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nnssl_plugin.checkpoints.checkpoint_file import to_plain
from nnssl_plugin.checkpoints.nnssl_format import ADAPTATION_PLAN
from nnssl_plugin.checkpoints.recorded import PLUGIN, recorded_section
from nnssl_plugin.nnunet.dataset_json import without_cases

# What else a checkpoint holds only resuming needs, or may name cases and folders.
KEPT = (
    "network_weights",
    "trainer_name",
    "current_epoch",
    "inference_allowed_mirroring_axes",
    "citations",
    ADAPTATION_PLAN,
)
KEPT_OF_ARGUMENTS = ("plans", "configuration", "fold")
KEPT_OF_PLUGIN = ("version", "provenance", "classes")


def shared_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint without training state, case names and paths; nnU-Net's `-pretrained_weights`, `export` and `show` take it."""
    arguments, own = (recorded_section(checkpoint, name) for name in ("init_args", PLUGIN))
    described = recorded_section(arguments, "dataset_json")
    content = {
        **{key: checkpoint[key] for key in KEPT if key in checkpoint},
        "init_args": {
            **{key: arguments[key] for key in KEPT_OF_ARGUMENTS if key in arguments},
            **({"dataset_json": without_cases(described)} if described else {}),
        },
        PLUGIN: {key: own[key] for key in KEPT_OF_PLUGIN if key in own},
    }
    plain: dict[str, Any] = to_plain(content)
    return plain


def unique_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights, each tensor under the first of its names: nnU-Net's blocks have several, and safetensors allows one."""
    found: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, value in weights.items():
        found.setdefault((value.data_ptr(), tuple(value.shape)), name)
    return {name: weights[name].contiguous() for name in found.values()}
