"""Classes of a folder of raw images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nnssl_plugin.classification.predict_case import CasePrediction, predict_case
from nnssl_plugin.classification.temperature import with_temperature
from nnssl_plugin.classification.trained_classifier import TrainedClassifier
from nnssl_plugin.evaluation.predictions import Predictions
from nnssl_plugin.nnunet.raw_cases import preprocessed_cases

# Case, preprocessed image `[C, *S]`, nnU-Net's properties of it, prediction of each network, one of its files.
Look = Callable[[str, npt.NDArray, dict[str, Any], list[CasePrediction], Path], None]


def classify_folder(
    classifier: TrainedClassifier, folder: Path, device: torch.device, look: Look | None = None
) -> Predictions:
    """Classify the cases of a folder, preprocessed in memory as nnU-Net does; the networks' probabilities are averaged.

    Args:
        classifier: whose networks predict.
        folder: images named as nnU-Net wants them, `CASE_0000.nii.gz`.
        device: of the networks.
        look: is shown every case.

    Raises:
        InputError: as `preprocessed_cases`.
    """
    predictions = Predictions(classifier.columns, {}, classifier.temperature)
    patch_size, name = classifier.configuration.patch_size, classifier.configuration_name
    for case in preprocessed_cases(folder, classifier.plans.plans, name, classifier.dataset_json, "Classifying"):
        made = [predict_case(network, case.image, patch_size, device) for network in classifier.networks]
        predictions.probabilities[case.name] = {
            column: np.mean(
                [
                    with_temperature(one.logits[i].softmax(dim=0).double().numpy(), classifier.temperature[column])
                    for one in made
                ],
                axis=0,
            )
            for i, column in enumerate(classifier.columns)
        }
        if look:
            look(case.name, case.image, case.properties, made, case.files[0])
    return predictions
