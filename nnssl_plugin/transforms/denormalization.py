from dataclasses import dataclass as plain_dataclass
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from nnssl_plugin.settings.validation import STRICT

# Fewer voxels than this say too little about an intensity distribution.
FEWEST_VOXELS = 32


@dataclass(frozen=True, config=STRICT)
class DenormalizationSettings:
    """Settings of domain-adaptive denormalisation; every one is ours."""

    mode: Literal["moments", "local_moments", "quantile"] = "quantile"
    """`moments` (the literal formula), `local_moments` or `quantile`."""
    grid: Annotated[int, Field(ge=1)] = 4
    """Cells per axis of `local_moments`."""
    ratio_limit: Annotated[float, Field(gt=1)] = 4.0
    """Limit of the ratio of standard deviations, and of its inverse."""
    statistics: Literal["case", "dataset"] = "case"
    """Target statistics of one other patient's image, drawn for each patch, or the mean of the whole `dataset`."""


@plain_dataclass(frozen=True)
class IntensityStatistics:
    """Foreground intensities of every case and modality, gathered once from the training images.

    Attributes:
        patient: `[N]`, index of each case's patient.
        present: `[N, C]`, which modalities the case has.
        mean: `[N, C]`. std: `[N, C]`. quantiles: `[N, C, Q]` at Q equidistant probabilities from 0 to 1.
    """

    patient: np.ndarray
    present: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    quantiles: np.ndarray


class DenormalizationTransform(ImageOnlyTransform):
    """Domain-adaptive denormalisation, DAD (J. Biomed. Eng. 2023, 40(3):482-491).

    The paper transforms source-domain images "with the help of statistical information of the target domain"; the
    domain is the modality. Granularity and statistics are ours. Of each channel's foreground, the intensities become
    those of another modality the case has; the background stays. The target's statistics come from another patient's
    image: those of the paired patch would leak its content.

    Modes:
        `moments`: (x − μ_s)/σ_s · σ_t + μ_t over the patch, the literal formula. The first convolution and instance
        norm cancel it: nearly inert, for ablation.
        `local_moments`: the same with μ_s and σ_s of each cell of a coarse grid, interpolated between cells; cells with
        little foreground take those of the patch.
        `quantile`: the monotone map of the patch's quantiles onto the target's, which is not affine.

    Args:
        statistics: where targets are drawn from.
        settings: mode and its strengths.

    The data dict needs, beside `image` `[C, *P]`, a `segmentation` `[1, *P]` with −1 outside the foreground, `present`
    `[C]` (bool) and `patient` (int).
    """

    def __init__(self, statistics: IntensityStatistics, settings: DenormalizationSettings) -> None:
        super().__init__()
        self.statistics = statistics
        self.settings = settings

    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        """Draw, for each channel, a target modality the case has and whose image of it gives the statistics."""
        present = np.asarray(data_dict["present"], dtype=bool)
        target = np.arange(len(present))
        donors: list[np.ndarray] = [np.zeros(0, dtype=int)] * len(present)
        for channel in np.flatnonzero(present):
            others = np.flatnonzero(present & (np.arange(len(present)) != channel))
            if len(others) == 0:
                continue
            target[channel] = np.random.choice(others)
            others_images = self.statistics.present[:, target[channel]] & (
                self.statistics.patient != data_dict["patient"]
            )
            donors[channel] = np.flatnonzero(others_images)
            if self.settings.statistics == "case" and others_images.any():
                donors[channel] = np.random.choice(donors[channel], 1)
        return {"target": target, "donors": donors, "foreground": data_dict["segmentation"][0] >= 0}

    def _apply_to_image(self, img: Tensor, **params: Any) -> Tensor:
        """Denormalise every channel that has a target; a channel without a donor stays as it is."""
        result = img.clone()
        foreground: Tensor = params["foreground"]
        if int(foreground.sum()) < FEWEST_VOXELS:
            return result
        for channel, (target, donors) in enumerate(zip(params["target"], params["donors"], strict=True)):
            if len(donors) > 0:
                values = self._denormalize(img[channel], foreground, donors, target)
                result[channel] = torch.where(foreground, values, img[channel])
        return result

    def _denormalize(self, x: Tensor, foreground: Tensor, donors: np.ndarray, target: int) -> Tensor:
        statistics = self.statistics
        inside = x[foreground]
        if self.settings.mode == "quantile":
            wanted = statistics.quantiles[donors, target].mean(axis=0)
            have = np.quantile(inside.numpy(), np.linspace(0, 1, len(wanted)))
            return torch.from_numpy(np.interp(x.numpy(), have, wanted).astype(np.float32))
        mean, std = inside.mean(), inside.std().clamp(min=1e-6)
        if self.settings.mode == "local_moments":
            mean, std = _local_moments(x, foreground, mean, std, self.settings.grid)
        ratio = (float(statistics.std[donors, target].mean()) / std).clamp(
            1 / self.settings.ratio_limit, self.settings.ratio_limit
        )
        return (x - mean) * ratio + float(statistics.mean[donors, target].mean())


def _local_moments(x: Tensor, foreground: Tensor, mean: Tensor, std: Tensor, grid: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the foreground of each cell, interpolated to every voxel of `x` `[*P]`."""
    axes = x.ndim
    cells = [min(grid, size) for size in x.shape]

    def average(values: Tensor) -> Tensor:
        batched = values[None, None]
        # torch.nn.functional has one function per dimension.
        return F.adaptive_avg_pool2d(batched, cells) if axes == 2 else F.adaptive_avg_pool3d(batched, cells)  # type: ignore[arg-type]

    share = average(foreground.float())
    enough = share * (x.numel() / prod(cells)) >= FEWEST_VOXELS
    first = average(x * foreground) / share.clamp(min=1e-6)
    second = average(x.square() * foreground) / share.clamp(min=1e-6)
    spread = (second - first.square()).clamp(min=0).sqrt()
    # A flat cell has no contrast to scale.
    usable = enough & (spread > 0.1 * std)
    moments = torch.cat([torch.where(usable, first, mean), torch.where(usable, spread, std)], dim=1)
    smooth = F.interpolate(moments, size=x.shape, mode="bilinear" if axes == 2 else "trilinear", align_corners=False)[0]
    return smooth[0], smooth[1]
