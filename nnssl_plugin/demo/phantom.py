"""Synthetic four-modality brains with gliomas, for demonstrations and tests without patients."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter
from tqdm import tqdm

from nnssl_plugin.demo.phantom_anatomy import Array, Head, Layers, healthy_brain
from nnssl_plugin.demo.phantom_tumour import grow_tumour
from nnssl_plugin.images.write_image import write_image

MODALITIES = ("t1n", "t1c", "t2w", "t2f")

# Signal in T1, T1c, T2 and FLAIR, and how much it varies: between cases, and within one. Single modalities overlap
# on purpose: oedema with grey matter in T1, with white matter lesions in FLAIR and with thin CSF in T2; necrosis with
# CSF in T1; enhancing tumour with vessels in T1c.
SIGNAL = {
    "white matter": ((0.80, 0.82, 0.42, 0.52), 0.05, 0.02),
    "grey matter": ((0.61, 0.64, 0.56, 0.62), 0.05, 0.02),
    "csf": ((0.24, 0.26, 1.30, 0.16), 0.05, 0.02),
    "vessel": ((0.50, 1.30, 0.34, 0.42), 0.10, 0.10),
    "white matter lesion": ((0.68, 0.70, 0.64, 0.82), 0.05, 0.05),
    "oedema": ((0.62, 0.64, 0.70, 0.84), 0.05, 0.05),
    "infiltration": ((0.55, 0.58, 0.76, 0.80), 0.08, 0.08),
    "necrosis": ((0.40, 0.44, 0.98, 0.56), 0.15, 0.10),
    "enhancing tumour": ((0.58, 1.16, 0.68, 0.76), 0.08, 0.12),
}


@dataclass(frozen=True)
class PhantomCase:
    """`images`: modality → int16 `[X, Y, Z]`, exactly 0 outside the brain. `label`: uint8, BraTS 2023 values."""

    images: dict[str, npt.NDArray[np.int16]]
    label: npt.NDArray[np.uint8]


def write_phantom_cohort(
    folder: Path,
    indices: Iterable[int],
    labelled: bool = True,
    shape: Sequence[int] = (64, 72, 56),
    spacing_mm: float = 2.5,
    seed: int = 0,
) -> list[str]:
    """Write cases in BraTS 2023 layout: `CASE/CASE-t1n.nii.gz`, …, and `CASE/CASE-seg.nii.gz` where `labelled`.

    Case `i` of a seed is the same volume whatever else is written, so folders with disjoint `indices` are disjoint
    cohorts. A case appears complete or not at all.

    Args:
        folder: made if need be; cases of the same name in it are replaced.
        indices: which cases.
        labelled: whether the segmentations are written.
        shape: voxels left-right, front-back, bottom-top; the head fills the grid.
        spacing_mm: isotropic voxel size in the header.
        seed: of the cohort.

    Returns:
        The names of the cases.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for index in tqdm(list(indices), desc=f"phantom cases in {folder.name}"):
        case = phantom_case(index, shape, seed)
        name = f"Phantom-GLI-{index:05d}-000"
        volumes: dict[str, npt.NDArray] = {**case.images, **({"seg": case.label} if labelled else {})}
        unfinished = folder / f".{name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for suffix, volume in volumes.items():
            image = sitk.GetImageFromArray(volume.transpose(2, 1, 0))
            image.SetSpacing([float(spacing_mm)] * 3)
            write_image(image, unfinished / f"{name}-{suffix}.nii.gz", compression_level=1)
        shutil.rmtree(folder / name, ignore_errors=True)
        os.replace(unfinished, folder / name)
        names.append(name)
    return names


def phantom_case(index: int, shape: Sequence[int] = (64, 72, 56), seed: int = 0) -> PhantomCase:
    """Case `index` of the cohort `seed`: a head, a glioma in it, and four simulated acquisitions."""
    head = Head(shape, np.random.default_rng([seed, index]))
    tumour = grow_tumour(head)
    brain = healthy_brain(head, tumour.pushed)
    label, tumour_layers = tumour.invade(brain)
    images = _acquire(head, brain.layers | tumour_layers)
    return PhantomCase(images, label)


def _acquire(head: Head, layers: Layers) -> dict[str, npt.NDArray[np.int16]]:
    rng = head.rng
    images = {}
    texture = head.field(3.0)
    for channel, modality in enumerate(MODALITIES):
        signal = np.zeros(head.shape, np.float32)
        for tissue, opacity in layers.items():
            # Patients and scanners differ in the contrast between tissues, not only in gain.
            levels, between, within = SIGNAL[tissue]
            level = levels[channel] * (rng.normal(1, between) + within * texture)
            signal += opacity * (level - signal)
        signal = gaussian_filter(signal, rng.uniform(0.25, 0.55))
        signal *= np.exp(rng.uniform(0.04, 0.15) * head.field(40))
        signal = _rician(signal, rng.uniform(0.012, 0.035), rng)
        gain = np.exp(rng.uniform(np.log(400), np.log(1600)))
        # A brain voxel is never 0, the value of the background alone.
        images[modality] = np.where(head.mask, np.maximum(np.rint(signal * gain), 1), 0).astype(np.int16)
    return images


def _rician(signal: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Magnitude of a complex signal with Gaussian noise of standard deviation `sigma` in both parts."""
    real, imaginary = sigma * rng.standard_normal((2, *signal.shape), dtype=np.float32)
    return np.hypot(signal + real, imaginary)
