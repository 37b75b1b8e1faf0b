"""Writing and checking a file for `-pretrained_weights`."""

import io
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights

from nnssl_plugin.checkpoints.checkpoint_file import save_atomically, to_plain
from nnssl_plugin.checkpoints.nnssl_format import ADAPTATION_PLAN, adaptation_plan
from nnssl_plugin.checkpoints.provenance import provenance, weights_sha256
from nnssl_plugin.checkpoints.recorded import PLUGIN
from nnssl_plugin.checkpoints.unet_weights import SEGMENTATION
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.channels import match_channels
from nnssl_plugin.export.source import Source
from nnssl_plugin.export.target_network import TargetNetwork
from nnssl_plugin.export.topology import Layer, share, transfer
from nnssl_plugin.files import whole_file
from nnssl_plugin.nnunet.dataset_json import without_cases
from nnssl_plugin.nnunet.plans_file import configuration_of

# Below this share of the encoder, fine-tuning would be training from scratch in disguise. Ours.
SMALLEST_SHARE = 0.5


def adapted_weights(
    source: Source, target: TargetNetwork, overrides: Mapping[str, str]
) -> tuple[dict[str, Any], list[int | None], list[Layer]]:
    """The content of a weights file for a target, which source channel feeds each of its channels, and its layers.

    Raises:
        InputError: channels or networks do not fit.
    """
    channels = match_channels(source.channels, target.channels, overrides)
    network = target.fresh_network()
    layers = transfer(source.weights, network, channels)
    configuration = configuration_of(target.plans, target.configuration)
    record = provenance(
        "nnssl_plugin export",
        target.dataset,
        target.channels,
        target.configuration,
        plans=target.plans["plans_name"],
        transferred={part: round(share(layers, part), 4) for part in ("encoder", "decoder")},
        encoder_sha256=weights_sha256(network.encoder.parameters()),  # type: ignore[union-attr]
        parent=source.parent,
    )
    content = {
        "network_weights": dict(network.state_dict()),
        "citations": source.citations,
        ADAPTATION_PLAN: adaptation_plan(
            target.plans, target.configuration, configuration, network, len(target.channels)
        ),
        PLUGIN: {"provenance": record, "layers": [asdict(layer) for layer in layers]},
        "init_args": {"configuration": target.configuration, "dataset_json": without_cases(target.dataset_json)},
    }
    return to_plain(content), channels, layers


def refuse_small_share(layers: Sequence[Layer]) -> None:
    """Refuse weights that are mostly new.

    Raises:
        InputError: less than half of the encoder's parameters were transferred.
    """
    encoder = share(layers, "encoder")
    if encoder < SMALLEST_SHARE:
        raise InputError(
            f"only {encoder:.0%} of the encoder's parameters would be transferred, less than half: the networks differ "
            "too much. Align the plans before pre-training (nnssl_plugin align), or take what there is with "
            "--allow-partial"
        )


def write_weights(content: Mapping[str, Any], target: TargetNetwork, file: Path) -> None:
    """Write a weights file after nnU-Net's own function has read it into the target's network.

    Raises:
        RuntimeError: nnU-Net did not take over what the file holds.
    """
    with whole_file(file) as unchecked:
        save_atomically(content, unchecked)
        _load(unchecked, content, target)


def check_weights(content: Mapping[str, Any], target: TargetNetwork) -> tuple[int, ...]:
    """Load the file's content into the target's network by nnU-Net's own function and run a patch through it.

    Returns:
        Shape of the segmentation at full resolution, `[1, heads, *P]`.

    Raises:
        RuntimeError: nnU-Net did not take over what the file holds, or the output is not finite.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.pth"
        save_atomically(content, file)
        network = _load(file, content, target).eval()
    with torch.no_grad():
        output = network(torch.randn(1, len(target.channels), *target.patch_size))[0]
    if not torch.isfinite(output).all():
        raise RuntimeError(f"the output of the network of {target.dataset} is not finite with these weights")
    return tuple(output.shape)


def _load(file: Path, content: Mapping[str, Any], target: TargetNetwork) -> torch.nn.Module:
    network = target.fresh_network()
    # It prints the name of a file that is not the one the user asked for.
    with redirect_stdout(io.StringIO()):
        load_pretrained_weights(network, str(file))
    loaded = network.state_dict()
    for name, value in content["network_weights"].items():
        if SEGMENTATION not in name and not torch.equal(loaded[name], value):
            raise RuntimeError(f"nnU-Net did not load {name} from {file}")
    return network
