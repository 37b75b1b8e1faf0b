"""Classes of a folder of raw images."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nnunetv2.utilities.utils import (
    create_lists_from_splitted_dataset_folder,
    get_identifiers_from_splitted_dataset_folder,
)
from tqdm import tqdm

from nnssl_plugin.classification.predict_case import CasePrediction, predict_case
from nnssl_plugin.classification.temperature import with_temperature
from nnssl_plugin.classification.trained_classifier import TrainedClassifier
from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.predictions import Predictions
from nnssl_plugin.nnunet.dataset_json import channel_names

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
        InputError: the folder has no such image, or a case has another number of channels.
    """
    files = _files(classifier, folder)
    preprocessor = classifier.configuration.preprocessor_class(verbose=False)
    predictions = Predictions(classifier.columns, {}, classifier.temperature)
    for case, channels in tqdm(files.items(), "Classifying"):
        try:
            image, _, properties = preprocessor.run_case(
                channels, None, classifier.plans, classifier.configuration, classifier.dataset_json
            )
        except (RuntimeError, OSError, ValueError, AssertionError) as error:
            raise InputError(f"case {case} cannot be read or preprocessed: {error}") from error
        patch_size = classifier.configuration.patch_size
        made = [predict_case(network, image, patch_size, device) for network in classifier.networks]
        predictions.probabilities[case] = {
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
            look(case, np.asarray(image), properties, made, Path(channels[0]))
    return predictions


def _files(classifier: TrainedClassifier, folder: Path) -> dict[str, list[str]]:
    ending = classifier.dataset_json["file_ending"]
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    if not any(folder.glob(f"*_0000{ending}")):
        raise InputError(f"{folder} holds no image named CASE_0000{ending}, as nnU-Net wants them")
    cases = sorted(get_identifiers_from_splitted_dataset_folder(str(folder), ending))
    lists = create_lists_from_splitted_dataset_folder(str(folder), ending, cases)
    expected = channel_names(classifier.dataset_json)
    wrong = {case: len(files) for case, files in zip(cases, lists, strict=True) if len(files) != len(expected)}
    if wrong:
        case, count = next(iter(wrong.items()))
        raise InputError(
            f"{len(wrong)} cases of {folder} have another number of channels, {case} has {count}; expected {len(expected)} "
            f"({', '.join(expected)}). Found in all: {dict(Counter(wrong.values()))}"
        )
    return dict(zip(cases, lists, strict=True))
