"""Tiny scans and the converters' command line, for the tests of conversion."""

import argparse
import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from nnssl_plugin.commands import convert

SHAPE = (6, 7, 8)
MODALITY_SUFFIXES = ("t1n", "t1c", "t2w", "t2f")


def image(seed: int = 0, case: str = "") -> np.ndarray:
    """Noise inside a box, 0 around it; other noise in every case."""
    array = np.zeros(SHAPE, np.int16)
    array[1:-1, 2:-1, 1:-2] = np.random.default_rng([seed, *case.encode()]).integers(50, 200, (4, 4, 5))
    return array


def segmentation(*values: int, kind: type = np.uint8) -> np.ndarray:
    array = np.zeros(SHAPE, kind)
    array[2, 3, 1 : 1 + len(values)] = values
    return array


def write(path: Path, array: np.ndarray, spacing=(1.0, 1.0, 2.0), origin=(0.0, -239.0, 0.0), direction=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scan = sitk.GetImageFromArray(array)
    scan.SetSpacing(spacing)
    scan.SetOrigin(origin)
    if direction is not None:
        scan.SetDirection(direction)
    sitk.WriteImage(scan, str(path), True)
    return path


def read(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def brats_case(folder: Path, name: str, labels=(1, 2, 3), suffixes=MODALITY_SUFFIXES) -> Path:
    """A case in a folder of its own; `labels` None: without a segmentation."""
    for seed, suffix in enumerate(suffixes):
        write(folder / name / f"{name}-{suffix}.nii.gz", image(seed, name))
    if labels is not None:
        write(folder / name / f"{name}-seg.nii.gz", segmentation(*labels))
    return folder / name


def run_convert(*arguments: object) -> int:
    """`nnssl_plugin convert …`, with errors raised instead of printed."""
    parser = argparse.ArgumentParser()
    convert.add_arguments(parser)
    return convert.run(parser.parse_args([str(argument) for argument in arguments]))


def dataset_json(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text(encoding="utf-8"))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files_of(folder: Path, case: str) -> tuple[list[Path], Path]:
    """Images in channel order and label of a case, as nnU-Net finds them."""
    description = dataset_json(folder)
    ending = description["file_ending"]
    if "dataset" in description:
        entry = description["dataset"][case]
        return [folder / image for image in entry["images"]], folder / entry["label"]
    images = [folder / "imagesTr" / f"{case}_{i:04d}{ending}" for i in range(len(description["channel_names"]))]
    return images, folder / "labelsTr" / f"{case}{ending}"


def conversion_json(folder: Path) -> dict:
    return json.loads((folder / "conversion.json").read_text(encoding="utf-8"))
