"""A tiny preprocessed data set and the plans for it, without running nnU-Net's planner."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2

MODALITIES = ["T1", "T1c", "T2", "FLAIR"]
NAME = "Dataset901_Tiny"
BACKGROUND = -0.75


def architecture(axes: int, residual: bool, stages: int = 3, features: int = 4) -> dict[str, Any]:
    kwargs: dict[str, Any] = {
        "n_stages": stages,
        "features_per_stage": [features * 2**i for i in range(stages)],
        "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
        "kernel_sizes": [[3] * axes] * stages,
        "strides": [[1] * axes] + [[2] * axes] * (stages - 1),
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
        "n_blocks_per_stage" if residual else "n_conv_per_stage": [1] * stages,
    }
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": kwargs,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def configuration(axes: int, residual: bool, channels: int) -> dict[str, Any]:
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    return {
        "data_identifier": f"nnUNetPlans_{axes}d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16] * axes if axes == 3 else [32, 32],
        "median_image_size_in_voxels": [24.0] * axes,
        "spacing": [1.0] * axes,
        "normalization_schemes": ["ZScoreNormalization"] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": resampling,
        "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
        "architecture": architecture(axes, residual),
        "batch_dice": False,
    }


def make_plans(settings: dict[str, Any] | None = None, residual: bool = False, channels: int = 4) -> dict[str, Any]:
    plans = {
        "dataset_name": NAME,
        "plans_name": "Tiny",
        "original_median_spacing_after_transp": [1.0] * 3,
        "original_median_shape_after_transp": [24] * 3,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            "2d": configuration(2, residual, channels),
            "3d_fullres": configuration(3, residual, channels),
        },
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            str(i): {
                "max": 3.0,
                "mean": 0.0,
                "median": 0.0,
                "min": -3.0,
                "percentile_00_5": -2.5,
                "percentile_99_5": 2.5,
                "std": 1.0,
            }
            for i in range(channels)
        },
    }
    if settings is not None:
        plans["nnssl_plugin"] = settings
    return plans


def make_dataset_json(cases: list[str], channels: int = 4, **extra: Any) -> dict[str, Any]:
    return {
        "channel_names": {str(i): name for i, name in enumerate(MODALITIES[:channels])},
        "labels": {"background": 0, "tumor": 1},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        **extra,
    }


def brain(seed: int, channels: int = 4, size: int = 24) -> np.ndarray:
    """`[C, Z, Y, X]`: a ball of smooth texture, different in each modality, on a constant background."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, size)] * 3, indexing="ij"))
    inside = (grid**2).sum(axis=0) < 0.8
    anatomy = np.sin(grid[0] * 5 + rng.uniform(0, 6)) * np.cos(grid[1] * 4 + rng.uniform(0, 6)) + grid[2]
    image = np.stack([np.abs(anatomy) ** (0.5 + 0.4 * c) * (-1) ** c + c for c in range(channels)])
    image = image + rng.normal(0, 0.05, image.shape)
    return np.where(inside, image, BACKGROUND).astype(np.float32)


def write_dataset(
    folder: Path,
    plans: dict[str, Any],
    cases: int = 6,
    channels: int = 4,
    name: str = NAME,
    first: int = 0,
    **extra: Any,
) -> list[str]:
    """Write the preprocessed images of both configurations, segmentations included, and every json beside them."""
    base = folder / "nnUNet_preprocessed" / name
    shutil.rmtree(base, ignore_errors=True)
    names = [f"case{first + i:02d}" for i in range(cases)]
    dataset_json = make_dataset_json(names, channels, **extra)
    for config in plans["configurations"].values():
        (base / config["data_identifier"]).mkdir(parents=True, exist_ok=True)
        for i, case in enumerate(names):
            image = brain(first + i, channels)
            segmentation = (image[:1] > 1).astype(np.int16)
            locations = {1: np.argwhere(segmentation)}
            target = base / config["data_identifier"] / case
            nnUNetDatasetBlosc2.save_case(
                image,
                segmentation,
                {"class_locations": locations, "spacing": [1.0] * 3},
                str(target),
                chunks=image.shape,
                blocks=(1, 8, 24, 24),
                chunks_seg=segmentation.shape,
                blocks_seg=(1, 8, 24, 24),
            )
    for file, content in (
        (f"{plans['plans_name']}.json", {**plans, "dataset_name": name}),
        ("dataset.json", dataset_json),
        ("dataset_fingerprint.json", {}),
        ("splits_final.json", [{"train": names[:-2], "val": names[-2:]}]),
    ):
        (base / file).write_text(json.dumps(content))
    return names
