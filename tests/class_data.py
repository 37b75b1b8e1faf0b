"""A tiny preprocessed data set whose cases have classes that can be seen: every other one holds a bright block."""

from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

from tests.synthetic import NAME, brain, make_plans, write_dataset

TINY = {
    "columns": ["kind"],
    "epochs": 2,
    "iterations_per_epoch": 2,
    "save_every": 1,
    "cases_per_step": 4,
    "tiles": 2,
    "folds": 2,
    "seed": 3,
}


def with_block(image: np.ndarray, seed: int) -> tuple[np.ndarray, tuple[slice, ...]]:
    """The image with a bright block inside the head, and where it is."""
    start = np.random.default_rng(seed).integers(8, 11, 3)
    place = tuple(slice(int(s), int(s) + 6) for s in start)
    bright = image.copy()
    bright[(slice(None), *place)] = 6.0
    return bright, place


def table_of(cases: int) -> dict[str, dict[str, Any]]:
    """Entries of `dataset.json`: kind plain or block in turns, a second column that is not known of every case."""
    return {
        f"case{i:02d}": {
            "patient": f"p{i:02d}",
            "patient_known": True,
            "missing": [],
            "table": {"kind": "block" if i % 2 else "plain", **({"size": str(i % 2 + 9)} if i else {})},
        }
        for i in range(cases)
    }


def write_classes(folder: Path, cases: int = 8, channels: int = 2, **classification: Any) -> list[str]:
    """Write the data set, plans included."""
    plans = make_plans({"classification": {**TINY, **classification}}, channels=channels)
    names = write_dataset(folder, plans, cases, channels, nnssl_plugin={"unlabelled": True, "cases": table_of(cases)})
    for config in plans["configurations"].values():
        for i in range(1, cases, 2):
            image, _ = with_block(brain(i, channels), i)
            target = folder / "nnUNet_preprocessed" / NAME / config["data_identifier"] / names[i]
            for file in target.parent.glob(f"{names[i]}*"):
                file.unlink()
            nnUNetDatasetBlosc2.save_case(
                image,
                np.zeros_like(image[:1], np.int16),
                {"class_locations": {1: []}, "spacing": [1.0] * 3},
                str(target),
                chunks=image.shape,
                blocks=(1, 8, 24, 24),
                chunks_seg=image[:1].shape,
                blocks_seg=(1, 8, 24, 24),
            )
    return names
