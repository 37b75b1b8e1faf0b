"""The folder of a shared model: weights, plans, card. What a Hugging Face model repository holds."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from safetensors.torch import save

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint, save_atomically
from nnssl_plugin.checkpoints.recorded import recorded_section
from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.sharing.model_card import model_card
from nnssl_plugin.sharing.shared_weights import shared_checkpoint, unique_tensors

WEIGHTS, TENSORS, PLANS, CARD = "checkpoint.pth", "model.safetensors", "plans.json", "README.md"


def write_card_folder(file: Path, folder: Path, name: str, license_id: str, scores: Path | None) -> None:
    """Write the folder, whole or not at all.

    Args:
        file: checkpoint.
        folder: that is not there yet.
        name: of the model.
        license_id: as Hugging Face names licences.
        scores: what `nnssl_plugin evaluate` wrote, or none.

    Raises:
        InputError: the checkpoint cannot be read, or as `model_card`.
    """
    checkpoint = read_checkpoint(file)
    content = shared_checkpoint(checkpoint)
    plans = recorded_section(content, "init_args", "plans")
    files = {
        WEIGHTS: f"`{WEIGHTS}`: for `nnUNetv2_train … -pretrained_weights` and `nnssl_plugin export`",
        TENSORS: f"`{TENSORS}`: the same weights, each tensor under one of its names",
        **({PLANS: f"`{PLANS}`: the plans they were trained under"} if plans else {}),
    }
    card = model_card(checkpoint, name, license_id, _read_scores(scores), list(files.values()))
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        save_atomically(content, unfinished / WEIGHTS)
        (unfinished / TENSORS).write_bytes(save(unique_tensors(content["network_weights"]), {"format": "pt"}))
        if plans:
            write_json(plans, unfinished / PLANS)
        card.save(unfinished / CARD)
        unfinished.replace(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def weights_of_card(folder: Path) -> Path:
    """The checkpoint in the folder of a shared model.

    Raises:
        InputError: the folder is none.
    """
    if not (folder / CARD).is_file() or not (folder / WEIGHTS).is_file():
        raise InputError(
            f"{folder} is a folder, and not that of a shared model, with {CARD} and {WEIGHTS} (nnssl_plugin card writes one): name a "
            "checkpoint file"
        )
    try:
        known = ModelCard.load(folder / CARD).data.to_dict()
    except ValueError as error:
        raise InputError(f"{folder / CARD} has no front matter that can be read: {error}") from None
    if not known.get("license"):
        raise InputError(f"{folder / CARD} states no licence: ask the person who shared it")
    return folder / WEIGHTS


def _read_scores(file: Path | None) -> Mapping[str, Any] | None:
    if file is None:
        return None
    content: Mapping[str, Any] = read_json(file)
    return content
