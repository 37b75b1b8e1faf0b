from typing import Any

import numpy as np
import numpy.typing as npt
from acvl_utils.cropping_and_padding.bounding_boxes import insert_crop_into_image
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager


def on_image_grid(
    volume: npt.NDArray, properties: dict[str, Any], plans: PlansManager, configuration: ConfigurationManager
) -> npt.NDArray:
    """A map on the grid of the preprocessed image, taken back to that of the file it came from, as nnU-Net does for logits.

    Args:
        volume: `[*S]`, three axes.
        properties: that nnU-Net's preprocessor gave for the case.
        plans: of the preprocessing.
        configuration: of the preprocessing.

    Returns:
        `[*S]` of the file, axes as SimpleITK's arrays.
    """
    before = [properties["spacing"][axis] for axis in plans.transpose_forward]
    cropped = properties["shape_after_cropping_and_before_resampling"]
    spacing = list(configuration.spacing)
    now = spacing if len(spacing) == len(cropped) else [before[0], *spacing]
    resampled = np.asarray(configuration.resampling_fn_probabilities(volume[None], cropped, now, before))[0]
    whole = np.zeros(properties["shape_before_cropping"], np.float32)
    whole = np.asarray(insert_crop_into_image(whole, resampled, properties["bbox_used_for_cropping"]))
    return whole.transpose(plans.transpose_backward)
