"""Images and texts as a pre-training on reports sees them, at inference."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.recorded import PLUGIN, recorded_section
from nnssl_plugin.classification.tiles import read_tiles, tile_starts
from nnssl_plugin.data.foreground import constant_background, foreground_mask
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.target_network import TargetNetwork
from nnssl_plugin.networks.encoder_features import encoder_features
from nnssl_plugin.objectives.objective import Features, NetworkShape
from nnssl_plugin.objectives.region_contrast import RegionContrast, noise_for
from nnssl_plugin.objectives.region_interaction import Parts
from nnssl_plugin.objectives.region_selection import Selection
from nnssl_plugin.objectives.report_contrast import ReportContrast
from nnssl_plugin.pretraining.active_objectives import active_objectives, needs_of
from nnssl_plugin.pretraining.step_budget import step_budget
from nnssl_plugin.settings.settings import settings_from_plans

OBJECTIVES: dict[str, type[ReportContrast] | type[RegionContrast]] = {
    "region_contrast": RegionContrast,
    "report_contrast": ReportContrast,
}


@dataclass
class Tiles:
    """What the model saw of some tiles of a case; `selection` where regions are selected, `size` of its map."""

    starts: npt.NDArray[np.int64]
    parts: Parts
    selection: Selection | None
    size: tuple[int, ...]


@dataclass
class ImageReportModel:
    """Network and heads, in evaluation mode on one device. `tile_size`: of the patches that it was trained on."""

    network: torch.nn.Module
    heads: ReportContrast | RegionContrast
    target: TargetNetwork
    tile_size: tuple[int, ...]
    device: torch.device

    @property
    def configuration(self) -> ConfigurationManager:
        """Of the plans."""
        return PlansManager(self.target.plans).get_configuration(self.target.configuration)

    @torch.no_grad()
    def tiles(self, image: npt.NDArray, channels: Sequence[int] | None = None) -> Iterator[Tiles]:
        """What is seen of a preprocessed case `[C, *S]`, by the tiles that show the patient.

        Where chance selects, it does so alike in every call.

        Args:
            image: of the case.
            channels: for each input channel the one that is shown in it; by default itself.
        """
        size = self.tile_size
        starts, shown = tile_starts(image, size), image if channels is None else image[list(channels)]
        masks = read_tiles(_foreground(image)[None].astype(np.float32), starts, size)
        generator, first = torch.Generator(self.device).manual_seed(0), 0
        for images, mask in zip(read_tiles(shown, starts, size), masks, strict=True):
            features = Features(encoder_features(self.network, images.to(self.device)))
            stage = features.encoder[self.heads.settings.stage]
            selection = None
            if isinstance(self.heads, RegionContrast):
                foreground = mask.to(self.device)
                noise = noise_for(foreground, generator) if self.heads.regions.score is None else None
                parts, selection = self.heads.look(features, foreground, noise)
            else:
                parts = self.heads.look(features)
            yield Tiles(starts[first : first + len(images)], parts, selection, tuple(stage.shape[2:]))
            first += len(images)

    def image(self, image: npt.NDArray) -> Parts:
        """A preprocessed case `[C, *S]`: the mean of its tiles, and the parts of all."""
        tiles = [one.parts for one in self.tiles(image)]
        return Parts(*(torch.cat([getattr(one, name) for one in tiles]) for name in vars(tiles[0]))).as_one()

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Parts:
        """Texts and their tokens.

        Raises:
            InputError: it was trained without reports.
        """
        if self.heads.text is None:
            raise InputError(
                "this checkpoint compares modalities (against=modality) and knows no words: no prompt or report can be given"
            )
        tokens, there = (part.to(self.device) for part in self.heads.text.tokenize(texts))
        return self.heads.read(tokens, there)

    @torch.no_grad()
    def logits(self, image: Parts, texts: Parts) -> Tensor:
        """`[M]`, scaled similarities of one image with M texts."""
        return self.heads.logits(image, texts)[0]


def load_image_report_model(file: Path, target: TargetNetwork, device: torch.device) -> ImageReportModel:
    """Load a checkpoint of `SSLPretrainTrainer`; one with both objectives gives its regions.

    Args:
        file: the checkpoint.
        target: data set, plans and configuration that it was trained under.
        device: to load onto.

    Raises:
        InputError: it was trained with neither `report_contrast` nor `region_contrast`, or under another network.
    """
    checkpoint = read_checkpoint(file)
    heads = recorded_section(checkpoint, PLUGIN, "heads")
    name = next((name for name in OBJECTIVES if any(key.startswith(f"{name}.") for key in heads)), None)
    if name is None:
        raise InputError(
            f"{file} was not pre-trained on reports: it holds no head of {' or '.join(OBJECTIVES)} (nnssl_plugin plan --preset reports; "
            "shared weights hold no heads)"
        )
    own = {key.removeprefix(f"{name}."): value for key, value in heads.items() if key.startswith(f"{name}.")}
    network = target.fresh_network()
    features = tuple(network.encoder.output_channels)  # type: ignore[union-attr, arg-type]
    pretraining = settings_from_plans(target.plans).pretraining
    settings = getattr(pretraining.objectives, name)
    if isinstance(settings, RegionContrast.Settings):
        # Its heads are in the checkpoint.
        settings = replace(settings, stage_one=None)
    size = tuple(target.patch_size)
    module = OBJECTIVES[name](settings, NetworkShape(tuple(target.channels), size, size, features))
    try:
        network.load_state_dict(checkpoint["network_weights"])
        module.load_state_dict(own)
    except (RuntimeError, KeyError) as error:
        raise InputError(
            f"{file} does not fit {target.plans['plans_name']}, {target.configuration}: name the plans it was trained under. {error}"
        ) from None
    planned = PlansManager(target.plans).get_configuration(target.configuration)
    budget = step_budget(pretraining, needs_of(active_objectives(pretraining)), planned, len(target.channels))
    tile_size = budget.kinds["patients"].patch_size
    return ImageReportModel(network.to(device).eval(), module.to(device).eval(), target, tile_size, device)


def _foreground(image: npt.NDArray) -> npt.NDArray[np.bool_]:
    """`[*S]`, as in training; all of it where no channel has anything."""
    present = np.array([np.ptp(channel) > 0 for channel in image])
    if not present.any():
        return np.ones(image.shape[1:], dtype=bool)
    background = np.array(
        [constant_background(one) if there else np.nan for one, there in zip(image, present, strict=True)]
    )
    return foreground_mask(image, background, present)
