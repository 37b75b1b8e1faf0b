from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
import torch

from nnssl_plugin.classification.image_grid import on_image_grid
from nnssl_plugin.classification.predict_case import CasePrediction
from nnssl_plugin.classification.saliency import attention_map, grad_cam
from nnssl_plugin.classification.trained_classifier import TrainedClassifier
from nnssl_plugin.images.write_image import write_image


@dataclass
class SaliencyPicture:
    """The slice of a case that got most attention.

    Attributes:
        case: its name.
        chosen: index of the slice.
        by_slice: `[Z]`, mean attention of every slice.
        image: `[Y, X]`.
        maps: title → `[Y, X]`.
    """

    case: str
    chosen: int
    by_slice: npt.NDArray
    image: npt.NDArray
    maps: dict[str, npt.NDArray]


class SaliencyMaps:
    """Writes, for every case it is shown, attention and one Grad-CAM a class as NIfTI on the image's own grid.

    Args:
        classifier: whose networks looked; maps are means over them.
        folder: where to.
        device: of the networks.
    """

    def __init__(self, classifier: TrainedClassifier, folder: Path, device: torch.device) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.classifier, self.folder, self.device = classifier, folder, device
        self.pictures: list[SaliencyPicture] = []

    def add(
        self,
        case: str,
        image: npt.NDArray,
        properties: dict[str, Any],
        predictions: Sequence[CasePrediction],
        file: Path,
    ) -> None:
        """Make and write the maps of a case; `file`: one of its images."""
        classifier, patch_size = self.classifier, self.classifier.configuration.patch_size
        shape = image.shape[1:]
        maps = {"attention": np.mean([attention_map(one, shape, patch_size) for one in predictions], axis=0)}
        for position, (column, names) in enumerate(classifier.columns.items()):
            for index, name in enumerate(names):
                each = [
                    grad_cam(network, image, one, position, index, patch_size, self.device)
                    for network, one in zip(classifier.networks, predictions, strict=True)
                ]
                maps[f"{column}={name}"] = np.mean(each, axis=0)
        reference = sitk.ReadImage(str(file))
        for title, volume in maps.items():
            whole = on_image_grid(volume, properties, classifier.plans, classifier.configuration).astype(np.float32)
            written = sitk.GetImageFromArray(whole if reference.GetDimension() == 3 else whole[0])
            written.CopyInformation(reference)
            write_image(written, self.folder / f"{case}_{title.replace('=', '_').replace('/', '-')}.nii.gz")
        by_slice = maps["attention"].reshape(shape[0], -1).mean(axis=1)
        chosen = int(by_slice.argmax())
        # The channel with the most contrast shows most.
        channel = int(image[:, chosen].reshape(len(image), -1).std(axis=1).argmax())
        shown = {title: volume[chosen] for title, volume in maps.items()}
        self.pictures.append(SaliencyPicture(case, chosen, by_slice, image[channel, chosen], shown))
