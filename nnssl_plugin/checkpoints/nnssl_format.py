"""Checkpoints of MIC-DKFZ's nnssl, as nnU-Net's main branch (after 2.8.1) fine-tunes them: both ways.

Such a file describes itself in `nnssl_adaptation_plan`: the architecture, the pre-training configuration, and under
which keys encoder, stem and input convolution stand. Ours are read from nnU-Net's documentation; no code of nnssl is here.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from nnssl_plugin.checkpoints.checkpoint_file import without_wrappers
from nnssl_plugin.checkpoints.recorded import recorded_section
from nnssl_plugin.errors import InputError

ADAPTATION_PLAN = "nnssl_adaptation_plan"
NEEDED = ("key_to_encoder", "key_to_stem")
# Beside the network's weights in checkpoints of nnssl's Spark trainers.
SPARK_WEIGHTS = "spark_weights"


def adaptation_plan(
    plans: Mapping[str, Any], name: str, configuration: Mapping[str, Any], network: Any, channels: int
) -> dict[str, Any]:
    """Describe a network that our plans made, for nnU-Net's `nnUNetv2_preprocess_like_nnssl` and `_plan_like_dynamic`.

    Args:
        plans: of the run.
        name: of the configuration.
        configuration: with what it inherits.
        network: the U-Net, not wrapped.
        channels: of its input.
    """
    architecture = configuration["architecture"]
    patch_size = list(configuration["patch_size"])
    kept = ("spacing", "normalization_schemes", "use_mask_for_norm", "data_identifier")
    return {
        "architecture_plans": {
            "arch_class_name": architecture["network_class_name"],
            "arch_kwargs": dict(architecture["arch_kwargs"]),
            "arch_kwargs_requiring_import": list(architecture["_kw_requires_import"]),
        },
        "pretrain_plan": {
            "dataset_name": plans["dataset_name"],
            "plans_name": plans["plans_name"],
            "configurations": {name: {**{key: configuration[key] for key in kept}, "patch_size": patch_size}},
        },
        "pretrain_num_input_channels": channels,
        "recommended_downstream_patchsize": patch_size,
        "key_to_encoder": network.key_to_encoder,
        "key_to_stem": network.key_to_stem,
        "keys_to_in_proj": list(network.keys_to_in_proj),
        "key_to_lpe": None,
    }


def unet_weights(checkpoint: Mapping[str, Any], file: str) -> dict[str, Tensor]:
    """Weights of an nnssl checkpoint under the names that nnU-Net's U-Nets have.

    Raises:
        InputError: the file has no adaptation plan, or nothing stands where the plan says.
    """
    plan = recorded_section(checkpoint, ADAPTATION_PLAN)
    if not all(isinstance(plan.get(key), str) for key in NEEDED):
        raise InputError(f"{file} {_without_plan(checkpoint)}")
    encoder, stem = (without_wrappers(plan[key]) for key in NEEDED)
    prefixes = {f"{encoder}.": "encoder.stages.", f"{stem}.": "encoder.stem."}
    weights = checkpoint["network_weights"]
    for key in (encoder, stem):
        if not any(name.startswith(f"{key}.") for name in weights):
            raise InputError(f"{file}: no weights under {key!r}, where its adaptation plan says they are")
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        # A plain encoder's stem is its first stage, and stays there: the encoder's prefix comes first.
        prefix = next((prefix for prefix in prefixes if name.startswith(prefix)), None)
        if prefix is not None:
            renamed[prefixes[prefix] + name.removeprefix(prefix)] = value
        elif name.startswith(("decoder.stages.", "decoder.transpconvs.")):
            renamed[name] = value
    return renamed


def _without_plan(checkpoint: Mapping[str, Any]) -> str:
    trainer = str(checkpoint.get("trainer_name", ""))
    if SPARK_WEIGHTS in checkpoint or "spark" in trainer.lower():
        return (
            f"has no {ADAPTATION_PLAN}: nnssl's Spark trainers write none. Add it with nnssl's own "
            "src/nnssl/utilities/add_adaptation_plan.py -i CHECKPOINT -pl PLAN -o FOLDER -arch ResEncL -key_to_encoder "
            "encoder.stages -key_to_stem encoder.stem -keys_to_in_proj encoder.stem.convs.0.conv "
            "encoder.stem.convs.0.all_modules.0, and import what it writes"
        )
    return (
        f"is no checkpoint of nnssl: it has no {ADAPTATION_PLAN} with {' and '.join(NEEDED)}. For checkpoints of nnU-Net "
        "and of this plugin there is nnssl_plugin export"
    )
