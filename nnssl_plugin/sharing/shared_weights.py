from collections.abc import Mapping
from pathlib import PurePosixPath, PureWindowsPath
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
KEPT_OF_ARGUMENTS = ("configuration", "fold")
# What nnU-Net's planner writes, and our settings; planners from elsewhere may write paths and cases beside it.
KEPT_OF_PLANS = (
    "dataset_name",
    "plans_name",
    "original_median_spacing_after_transp",
    "original_median_shape_after_transp",
    "image_reader_writer",
    "transpose_forward",
    "transpose_backward",
    "configurations",
    "experiment_planner_used",
    "label_manager",
    "foreground_intensity_properties_per_channel",
    PLUGIN,
)
KEPT_OF_PLUGIN = ("version", "provenance", "classes")


def shared_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint without training state, case names and paths; nnU-Net's `-pretrained_weights`, `export` and `show` take it."""
    arguments, own = (recorded_section(checkpoint, name) for name in ("init_args", PLUGIN))
    described, plans = (recorded_section(arguments, name) for name in ("dataset_json", "plans"))
    kept_plans = without_folders({key: plans[key] for key in KEPT_OF_PLANS if key in plans})
    content = {
        **{key: checkpoint[key] for key in KEPT if key in checkpoint},
        "init_args": {
            **{key: arguments[key] for key in KEPT_OF_ARGUMENTS if key in arguments},
            **({"plans": kept_plans} if plans else {}),
            **({"dataset_json": without_cases(described)} if described else {}),
        },
        PLUGIN: {key: own[key] for key in KEPT_OF_PLUGIN if key in own},
    }
    plain: dict[str, Any] = to_plain(content)
    return plain


def without_folders(plans: Any) -> Any:
    """Plans in which an absolute path, of stage one or of a text model, is its last part alone."""
    if isinstance(plans, Mapping):
        return {key: without_folders(value) for key, value in plans.items()}
    if isinstance(plans, list | tuple):
        return [without_folders(value) for value in plans]
    if isinstance(plans, str):
        for path in (PurePosixPath(plans), PureWindowsPath(plans)):
            if path.is_absolute():
                return path.name
    return plans


def unique_tensors(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights, each tensor under the first of its names: nnU-Net's blocks have several, and safetensors allows one.

    `safetensors.torch.load_model` gives a network all of them back.
    """
    found: dict[tuple[int, tuple[int, ...]], str] = {}
    for name, value in weights.items():
        found.setdefault((value.data_ptr(), tuple(value.shape)), name)
    return {name: weights[name].contiguous() for name in found.values()}
