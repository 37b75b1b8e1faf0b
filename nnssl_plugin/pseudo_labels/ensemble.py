"""nnU-Net's own predictor, the one behind `nnUNetv2_predict`, over several trained folds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

from nnssl_plugin.pseudo_labels.agreement import agreement, confidence
from nnssl_plugin.pseudo_labels.teachers import FINAL, Teacher


@dataclass(frozen=True)
class Prediction:
    """Of one case.

    Attributes:
        segmentation: `[Z, Y, X]`, by the mean probabilities of all models.
        properties: for nnU-Net's writer.
        agreement: between the models, 0 to 1; None for one model.
        confidence: mean probability over the foreground, 0 to 1; None where there is none.
        foreground: share of the image.
    """

    segmentation: np.ndarray
    properties: dict[str, Any]
    agreement: float | None
    confidence: float | None
    foreground: float


class Ensemble:
    """Predicts a case with every teacher and averages probabilities, as `nnUNetv2_ensemble` does.

    Args:
        teachers: at least one.
        device: to predict on.
    """

    def __init__(self, teachers: Sequence[Teacher], device: torch.device) -> None:
        self.predictors = [_predictor(teacher, device) for teacher in teachers]
        self.labels = self.predictors[0].label_manager
        self.files = self.predictors[0].plans_manager.image_reader_writer_class()

    def predict(self, images: Sequence[Path]) -> Prediction:
        """Predict the case with these images, in channel order."""
        voxels, properties = self.files.read_images([str(image) for image in images])
        segmentations: list[np.ndarray] = []
        mean: Any = 0.0
        for predictor in self.predictors:
            segmentation, probabilities = predictor.predict_single_npy_array(
                voxels, properties, save_or_return_probabilities=True
            )
            segmentations.append(np.asarray(segmentation))
            mean = mean + np.asarray(probabilities, np.float32) / len(self.predictors)
        labelled = np.asarray(self.labels.convert_probabilities_to_segmentation(mean))
        wanted = self.labels.foreground_regions if self.labels.has_regions else self.labels.foreground_labels
        return Prediction(
            labelled.astype(np.uint8 if labelled.max() < 256 else np.uint16),
            properties,
            agreement(segmentations, wanted),
            confidence(mean, labelled),
            float(np.mean(labelled > 0)),
        )


def _predictor(teacher: Teacher, device: torch.device) -> nnUNetPredictor:
    predictor = nnUNetPredictor(device=device, perform_everything_on_device=device.type == "cuda", allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(teacher.model), (teacher.fold,), FINAL)
    return predictor
