from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.inpainting import Inpainting
from nnssl_plugin.objectives.needs import Needs
from nnssl_plugin.settings.validation import STRICT

# Supervoxels whose numbers are equal modulo this are hidden together, so that shapes do not depend on the data; neighbours
# have numbers far closer.
DRAWS = 4096


@dataclass(frozen=True, config=STRICT)
class SupervoxelSettings:
    """Settings of supervoxel inpainting; every one is ours."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight in the total loss."""
    edge: Annotated[int, Field(ge=4)] = 16
    """Edge in voxels of a cube as large as a supervoxel is on average."""
    hidden: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Probability of a supervoxel to be hidden."""


class SupervoxelInpainting(Inpainting):
    """Supervoxel inpainting: restore whole supervoxels (Kayal et al., MICCAI 2020, arXiv 2006.15186).

    The paper: supervoxels instead of random boxes are hidden and inpainted, chosen in the region of interest of the task to
    come. Ours: no region of interest, as pre-training knows no task; supervoxels by SLIC on all modalities of the case
    (`nnssl_plugin.data.supervoxels`), superpixels of each slice in 2d, hidden in all modalities, each drawn by itself;
    squared error of the hidden foreground alone; a clean target under an augmented input.

    Shape: one view `[B, C, *P]` of a batch `[B, C, *P]`.
    """

    Settings = SupervoxelSettings
    citations = (
        "Kayal et al. Region-of-Interest Guided Supervoxel Inpainting for Self-supervision. MICCAI 2020. arXiv:2006.15186",
    )

    @classmethod
    def needs(cls, settings: SupervoxelSettings) -> Needs:
        """As every inpainting, and the supervoxels."""
        return replace(super().needs(settings), supervoxels=settings.edge)

    def visible(self, batch: PretrainingBatch, generator: torch.Generator) -> Tensor:
        """Whole supervoxels, in all modalities alike."""
        labels = batch.supervoxels
        if labels is None:
            raise ValueError("supervoxel inpainting needs supervoxels")
        draw = torch.rand(len(labels), DRAWS, generator=generator, device=labels.device)
        shown = (draw >= self.settings.hidden).gather(1, labels.flatten(1) % DRAWS).view_as(labels)
        return shown.expand_as(batch.images["augmented"])
