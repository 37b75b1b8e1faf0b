"""Findings in images by prompts, without a label: CLIP's zero-shot classification, of radiographs as in CheXzero."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.recorded import PLUGIN, recorded_section
from nnssl_plugin.classification.tiles import read_tiles, tile_starts
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.target_network import TargetNetwork
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.objectives.objective import Features, NetworkShape
from nnssl_plugin.objectives.report_contrast import ReportContrast
from nnssl_plugin.settings.settings import settings_from_plans
from nnssl_plugin.zero_shot.findings import Finding

OBJECTIVE = "report_contrast"
TILES_AT_ONCE = 32


@dataclass
class ZeroShot:
    """Network and heads of a pre-training with `report_contrast`, in evaluation mode on one device."""

    network: torch.nn.Module
    heads: ReportContrast
    target: TargetNetwork
    device: torch.device

    @property
    def configuration(self) -> ConfigurationManager:
        """Of the plans."""
        return PlansManager(self.target.plans).get_configuration(self.target.configuration)

    @torch.no_grad()
    def embed_image(self, image: npt.NDArray) -> Tensor:
        """`[D]`, unit vector of a preprocessed case `[C, *S]`: mean over the tiles that show the patient."""
        size = self.configuration.patch_size
        parts = [
            self.heads.embed(Features(encoder_features(self.network, tiles.to(self.device))))
            for tiles in read_tiles(image, tile_starts(image, size), size, TILES_AT_ONCE)
        ]
        return F.normalize(torch.cat(parts).mean(dim=0), dim=0)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """`[D]`, unit vector: mean of the texts'."""
        tokens, there = (part.to(self.device) for part in self.heads.text.tokenize(texts))
        return F.normalize(self.heads.embed_texts(tokens, there).mean(dim=0), dim=0)

    def probabilities(self, image: Tensor, findings: Sequence[Finding]) -> dict[str, npt.NDArray[np.float64]]:
        """Finding → `[2]`, absent and present: softmax of the scaled cosines with both sides' prompts."""
        result = {}
        for finding in findings:
            sides = torch.stack([self.embed_texts(finding.negative), self.embed_texts(finding.positive)])
            logits = self.heads.loss.scale.detach() * (sides @ image)
            result[finding.name] = logits.softmax(dim=0).double().cpu().numpy()
        return result


def load_zero_shot(file: Path, target: TargetNetwork, device: torch.device) -> ZeroShot:
    """Load a checkpoint of `SSLPretrainTrainer`.

    Args:
        file: the checkpoint.
        target: data set, plans and configuration that it was trained under.
        device: to load onto.

    Raises:
        InputError: it was not trained with `report_contrast`, or under another network.
    """
    checkpoint = read_checkpoint(file)
    prefix = f"{OBJECTIVE}."
    heads = recorded_section(checkpoint, PLUGIN, "heads")
    own = {key.removeprefix(prefix): value for key, value in heads.items() if key.startswith(prefix)}
    if not own:
        raise InputError(
            f"{file} was not pre-trained on reports: it holds no head of {OBJECTIVE} (nnssl_plugin plan --preset reports; shared weights "
            "hold no heads)"
        )
    network = target.fresh_network()
    features = tuple(network.encoder.output_channels)  # type: ignore[union-attr, arg-type]
    settings = getattr(settings_from_plans(target.plans).pretraining.objectives, OBJECTIVE)
    size = tuple(target.patch_size)
    module = ReportContrast(settings, NetworkShape(tuple(target.channels), size, size, features))
    try:
        network.load_state_dict(checkpoint["network_weights"])
        module.load_state_dict(own)
    except (RuntimeError, KeyError) as error:
        raise InputError(
            f"{file} does not fit {target.plans['plans_name']}, {target.configuration}: name the plans it was trained under. {error}"
        ) from None
    return ZeroShot(network.to(device).eval(), module.to(device).eval(), target, device)
