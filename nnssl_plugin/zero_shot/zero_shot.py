"""Findings in images by prompts, without a label: CLIP's zero-shot classification, of radiographs as in CheXzero."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from nnssl_plugin.objectives.region_interaction import Parts
from nnssl_plugin.zero_shot.findings import Finding
from nnssl_plugin.zero_shot.image_report_model import ImageReportModel


class ZeroShot:
    """A model with the prompts of some findings.

    Raises:
        InputError: as `ImageReportModel.texts`.
    """

    def __init__(self, model: ImageReportModel, findings: Sequence[Finding]) -> None:
        self.model = model
        self.prompts = {one.name: (model.texts(one.negative), model.texts(one.positive)) for one in findings}

    def probabilities(self, image: Parts) -> dict[str, npt.NDArray[np.float64]]:
        """Finding → `[2]`, absent and present: softmax of both sides' mean scaled similarity."""
        result = {}
        for name, sides in self.prompts.items():
            logits = torch.stack([self.model.logits(image, side).mean() for side in sides])
            result[name] = logits.softmax(dim=0).double().cpu().numpy()
        return result
