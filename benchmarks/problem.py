"""What is measured on: sizes, the plans that describe them, and a preprocessed data set of made-up images."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

DATASET = "Dataset901_Tiny"
CONFIGURATION = "3d_fullres"
# As nnU-Net's planners have them.
MOST_FEATURES = 320
RESIDUAL_BLOCKS = (1, 3, 4, 6, 6, 6, 6)
# Of an image's edge against the patch's.
MARGIN = 1.3


@dataclass(frozen=True)
class Problem:
    """Sizes of what is measured.

    Attributes:
        patch: in voxels. batch: patches of a supervised step. modalities: of every case.
        features: of the first stage; doubled from stage to stage up to 320.
        cases: of the data set.
        device: `cpu` or `cuda`.
        repetitions: of everything that is timed.
        folder: for what is made and written.
    """

    patch: tuple[int, ...]
    batch: int
    modalities: int
    features: int
    cases: int
    device: str
    repetitions: int
    folder: Path

    def __str__(self) -> str:
        patch = "×".join(map(str, self.patch))
        return f"patches of {patch}, batch {self.batch}, {self.modalities} modalities, {self.features} features"

    def to_json(self) -> str:
        """For a process of its own, which reads it by `from_json`."""
        return json.dumps({**asdict(self), "folder": str(self.folder)})

    @staticmethod
    def from_json(text: str) -> "Problem":
        """Undo of `to_json`."""
        described = json.loads(text)
        return Problem(**{**described, "patch": tuple(described["patch"]), "folder": Path(described["folder"])})


@contextmanager
def folders(folder: Path, workers: int) -> Iterator[None]:
    """Name nnU-Net's folders and the plugin's trainers in the environment; nnU-Net reads it when it is imported."""
    from nnssl_plugin.nnunet.trainers_folder import trainers_folder

    kinds = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    changed = {
        **{kind: str(folder / kind) for kind in kinds},
        "nnUNet_extTrainer": str(trainers_folder()),
        "nnUNet_n_proc_DA": str(workers),
        "nnUNet_compile": "f",
    }
    before = {key: os.environ.get(key) for key in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.__setitem__(key, value)


def plans_of(problem: Problem, name: str, residual: bool, settings: dict[str, Any]) -> dict[str, Any]:
    """Plans with the network that nnU-Net would plan for the patch."""
    from nnssl_plugin.planning.network_size import topology_of
    from tests.synthetic import make_plans

    topology = topology_of([1.0] * 3, problem.patch)
    if topology is None:
        raise SystemExit(f"--patch {problem.patch}: not divisible by the strides of its network")
    strides, kernels = topology
    stages = len(strides)
    plans = make_plans(settings, residual, problem.modalities)
    configuration = plans["configurations"][CONFIGURATION]
    configuration |= {"patch_size": list(problem.patch), "batch_size": problem.batch}
    blocks = list(RESIDUAL_BLOCKS[:stages]) if residual else [2] * stages
    configuration["architecture"]["arch_kwargs"] |= {
        "n_stages": stages,
        "features_per_stage": [min(problem.features * 2**i, MOST_FEATURES) for i in range(stages)],
        "strides": strides,
        "kernel_sizes": kernels,
        "n_blocks_per_stage" if residual else "n_conv_per_stage": blocks,
        "n_conv_per_stage_decoder": [1 if residual else 2] * (stages - 1),
    }
    return {**plans, "plans_name": name, "configurations": {CONFIGURATION: configuration}}


def write_plans(problem: Problem, plans: dict[str, Any]) -> None:
    """Beside the preprocessed images."""
    base = problem.folder / "nnUNet_preprocessed" / DATASET
    (base / f"{plans['plans_name']}.json").write_text(json.dumps(plans))


def write_images(problem: Problem) -> None:
    """Images a little larger than the patch, with a segmentation, as nnU-Net writes them."""
    from nnunetv2.training.dataloading.nnunet_dataset import comp_blosc2_params, nnUNetDatasetBlosc2

    from tests.synthetic import brain, make_dataset_json

    base = problem.folder / "nnUNet_preprocessed" / DATASET
    images = base / "nnUNetPlans_3d"
    images.mkdir(parents=True, exist_ok=True)
    size = int(max(problem.patch) * MARGIN)
    names = [f"case{i:02d}" for i in range(problem.cases)]
    for i, case in enumerate(names):
        image = brain(i, problem.modalities, size)
        segmentation = (image[:1] > 1).astype(np.int16)
        places = np.argwhere(segmentation)
        blocks, chunks = comp_blosc2_params(image.shape, problem.patch, image.itemsize)
        blocks_seg, chunks_seg = comp_blosc2_params(segmentation.shape, problem.patch, segmentation.itemsize)
        nnUNetDatasetBlosc2.save_case(
            image,
            segmentation,
            {"class_locations": {1: places}, "spacing": [1.0] * 3},
            str(images / case),
            chunks=chunks,
            blocks=blocks,
            chunks_seg=chunks_seg,
            blocks_seg=blocks_seg,
        )
    for file, content in (
        ("dataset.json", make_dataset_json(names, problem.modalities)),
        ("dataset_fingerprint.json", {}),
        ("splits_final.json", [{"train": names[:-2], "val": names[-2:]}]),
    ):
        (base / file).write_text(json.dumps(content))
