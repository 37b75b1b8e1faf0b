"""What the fingerprint of a pre-training data set tells about preprocessing it by the plans of its target."""

from typing import Any

import numpy as np
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints
from nnunetv2.utilities.dataset_name_id_conversion import convert_dataset_name_to_id

from nnssl_plugin.errors import InputError
from nnssl_plugin.files import read_json
from nnssl_plugin.nnunet.plans_file import configuration_of
from nnssl_plugin.planning.alignment import Alignment


def fingerprint_of(alignment: Alignment, processes: int) -> dict[str, Any]:
    """nnU-Net's fingerprint of the pre-training data set, extracted where it is absent, damaged or of other cases.

    Raises:
        InputError: nnU-Net cannot take a fingerprint because no label file has any foreground.
    """
    path = alignment.folder / "dataset_fingerprint.json"
    if path.is_file():
        try:
            known: dict[str, Any] = read_json(path)
        except InputError:
            print(f"{path} is truncated or damaged; it is made again")
            known = {}
        if len(known.get("spacings", ())) == len(alignment.cases):
            return known
    try:
        extract_fingerprints([convert_dataset_name_to_id(alignment.pretrain)], num_processes=processes, clean=True)
    except IndexError:
        raise InputError(
            f"all labels of {alignment.pretrain} are empty, which nnU-Net cannot take a fingerprint of; the "
            "converters of nnssl_plugin write placeholder labels for unlabelled data"
        ) from None
    fingerprint: dict[str, Any] = read_json(path)
    return fingerprint


def differences(alignment: Alignment, fingerprint: dict[str, Any]) -> list[str]:
    """What the target's plans do to the pre-training images that plans of their own might not."""
    plans = alignment.plans
    median = np.median(fingerprint["spacings"], axis=0)[plans["transpose_forward"]]
    said = []
    for name in alignment.configurations.values():
        configuration = configuration_of(plans, name)
        spacing = np.array(configuration["spacing"])
        own = median[-len(spacing) :]
        verb = "stay at" if np.allclose(own, spacing, rtol=1e-2) else "are resampled to"
        said.append(f"{name}: images of {_mm(own)} (median) {verb} {_mm(spacing)}, as those of {alignment.target}")

        schemes, masked = configuration["normalization_schemes"], configuration["use_mask_for_norm"]
        for channel, scheme in enumerate(schemes):
            if scheme == "CTNormalization":
                said.append(
                    f"{name}: channel {channel} is normalised with the intensities of {alignment.target} ({scheme})"
                )
        # nnU-Net's planner masks the z-score where cropping to the image content leaves less than 3/4 of the voxels.
        kept = fingerprint["median_relative_size_after_cropping"]
        if (kept < 3 / 4) != any(masked) and "ZScoreNormalization" in schemes:
            where = "inside the image content only" if any(masked) else "with their background"
            said.append(
                f"{name}: images are z-scored {where}, as those of {alignment.target}; plans of their own would not, "
                f"because {kept:.0%} of their voxels are inside the bounding box of the content"
            )
    return said


def _mm(spacing: np.ndarray) -> str:
    return " x ".join(f"{edge:.3g}" for edge in spacing) + " mm"
