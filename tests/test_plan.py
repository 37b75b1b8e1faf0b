import argparse
import itertools
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.experiment_planners.network_topology import get_pool_and_conv_props
from nnunetv2.experiment_planning.experiment_planners.residual_unets.residual_encoder_unet_planners import (
    ResEncUNetPlanner,
)
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnssl_plugin.commands import plan
from nnssl_plugin.errors import InputError
from nnssl_plugin.planning.network_size import nearest_patch_size, topology_of
from nnssl_plugin.planning.plans_copy import copy_plans
from nnssl_plugin.pretraining.active_objectives import active_objectives
from nnssl_plugin.pretraining.step_budget import BYTES_PER_VALUE
from nnssl_plugin.settings.presets import PRESETS, preset_assignments
from nnssl_plugin.settings.settings import PLANS_KEY, Settings, settings_from_plans, settings_with

DATASET = "Dataset501_Brains"


def configuration(axes: int, residual: bool) -> dict[str, Any]:
    """A configuration as nnU-Net's planners write it, with five stages."""
    network = {
        "n_stages": 5,
        "features_per_stage": [32, 64, 128, 256, 320],
        "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
        "kernel_sizes": [[3] * axes] * 5,
        "strides": [[1] * axes] + [[2] * axes] * 4,
        "n_blocks_per_stage" if residual else "n_conv_per_stage": [1, 3, 4, 6, 6] if residual else [2] * 5,
        "n_conv_per_stage_decoder": [1] * 4 if residual else [2] * 4,
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    name = "ResidualEncoderUNet" if residual else "PlainConvUNet"
    return {
        "data_identifier": f"nnUNetPlans_{axes}d",
        "batch_size": 2,
        "patch_size": [64] * axes,
        "spacing": [1.0] * axes,
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
            "arch_kwargs": network,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }


def make_plans(residual: bool = False) -> dict[str, Any]:
    return {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "configurations": {
            "2d": configuration(2, residual),
            "3d_lowres": {**configuration(3, residual), "data_identifier": "nnUNetPlans_3d_lowres"},
            "3d_fullres": configuration(3, residual),
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        },
    }


def network_of(plans: dict[str, Any], name: str) -> dict[str, Any]:
    resolved: dict[str, Any] = PlansManager(plans).get_configuration(name).network_arch_init_kwargs
    return resolved


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("patch_size", [[32, 16], [16, 32, 24], [128, 128], [8, 8, 8]])
def test_resized_network_trains(patch_size: list[int], residual: bool) -> None:
    name = "2d" if len(patch_size) == 2 else "3d_fullres"
    copy = copy_plans(make_plans(residual), "Small", [], patch_size=patch_size, batch_size=3, features=(4, 12))
    manager = PlansManager(json.loads(json.dumps(copy))).get_configuration(name)
    assert manager.patch_size == patch_size
    network = get_network_from_plans(
        manager.network_arch_class_name,
        manager.network_arch_init_kwargs,
        manager.network_arch_init_kwargs_req_import,
        input_channels=2,
        output_channels=3,
        deep_supervision=True,
    )
    outputs = network(torch.randn(manager.batch_size, 2, *patch_size))
    assert outputs[0].shape == (3, 3, *patch_size)
    sum(output.square().mean() for output in outputs).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())


def test_stages_follow_the_patch() -> None:
    arguments = network_of(copy_plans(make_plans(), "Small", [], patch_size=[32, 32, 16]), "3d_fullres")
    assert arguments["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 1]]
    assert arguments["kernel_sizes"] == [[3, 3, 3]] * 4
    assert arguments["n_stages"] == 4
    assert arguments["features_per_stage"] == [32, 64, 128, 256]
    assert arguments["n_conv_per_stage"] == [2] * 4
    assert arguments["n_conv_per_stage_decoder"] == [2] * 3


def test_anisotropic_spacing_is_pooled_as_nnunet_pools_it() -> None:
    plans = make_plans()
    plans["configurations"]["3d_fullres"]["spacing"] = [3.0, 1.0, 1.0]
    copy = copy_plans(plans, "Small", [], patch_size=[16, 64, 64], configurations=["3d_fullres"])
    arguments = network_of(copy, "3d_fullres")
    # By hand: at 3 x 1 x 1 mm only the plane is pooled, at 3 x 2 x 2 mm all axes, until the first has 4 voxels.
    assert arguments["strides"] == [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]]
    assert arguments["kernel_sizes"] == [[1, 3, 3], *[[3, 3, 3]] * 4]


def test_more_stages_repeat_the_last_entry() -> None:
    arguments = network_of(copy_plans(make_plans(residual=True), "Large", [], patch_size=[256, 256]), "2d")
    assert arguments["n_stages"] == 7
    assert arguments["features_per_stage"] == [32, 64, 128, 256, 320, 320, 320]
    assert arguments["n_blocks_per_stage"] == [1, 3, 4, 6, 6, 6, 6]
    assert arguments["n_conv_per_stage_decoder"] == [1] * 6


def test_only_what_was_asked_for_changes() -> None:
    plans = make_plans()
    before = deepcopy(plans)
    copy = copy_plans(plans, "Copy", ["pretraining.epochs=20"], features=(8, 24), batch_size=5)
    assert plans == before
    expected = deepcopy(before)
    expected["plans_name"] = "Copy"
    expected[PLANS_KEY] = copy[PLANS_KEY]
    for name in ("2d", "3d_lowres", "3d_fullres"):
        expected["configurations"][name]["batch_size"] = 5
        arguments = expected["configurations"][name]["architecture"]["arch_kwargs"]
        arguments["features_per_stage"] = [8, 16, 24, 24, 24]
    assert copy == expected
    assert copy_plans(plans, "Copy", [])["configurations"] == before["configurations"]


def test_configurations_that_inherit_follow_their_parent() -> None:
    copy = copy_plans(make_plans(), "Small", [], patch_size=[32, 32, 32])
    assert copy["configurations"]["3d_cascade_fullres"] == make_plans()["configurations"]["3d_cascade_fullres"]
    assert PlansManager(copy).get_configuration("3d_cascade_fullres").patch_size == [32, 32, 32]

    named = copy_plans(make_plans(), "Small", [], patch_size=[32] * 3, configurations=["3d_cascade_fullres"])
    assert PlansManager(named).get_configuration("3d_cascade_fullres").patch_size == [32, 32, 32]
    assert named["configurations"]["3d_fullres"] == make_plans()["configurations"]["3d_fullres"]

    plans = make_plans()
    plans["configurations"]["3d_large_batch"] = {"inherits_from": "3d_fullres", "batch_size": 9}
    own = PlansManager(copy_plans(plans, "Small", [], patch_size=[32] * 3)).get_configuration("3d_large_batch")
    assert (own.batch_size, own.patch_size) == (9, [32, 32, 32])


def test_axes_choose_the_configuration() -> None:
    copy = copy_plans(make_plans(), "Small", [], patch_size=[32, 32], batch_size=7)
    assert copy["configurations"]["2d"]["batch_size"] == 7
    assert copy["configurations"]["3d_fullres"] == make_plans()["configurations"]["3d_fullres"]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"patch_size": [34, 32]}, r"2d: patch size \[34, 32\].*nearest possible one is \[32, 32\]"),
        ({"patch_size": [6, 6, 8]}, r"3d_lowres: .*nearest possible one is \[6, 8, 8\]"),
        ({"patch_size": [0, 16]}, r"nearest possible one is \[1, 16\]"),
        ({"patch_size": [16]}, "has 1 axes; 2d has 2, 3d_lowres has 3, 3d_fullres has 3"),
        ({"patch_size": [16, 16], "configurations": ["3d_fullres"]}, "has 2 axes, the configuration has 3"),
        ({"batch_size": 0}, "batch size 0.*nearest possible one is 1"),
        ({"features": (0, 32)}, "features 0 to 32.*1 to 32"),
        ({"features": (16, 8)}, "features 16 to 8.*16 to 16"),
        ({"batch_size": 2, "configurations": ["3d"]}, "no configuration '3d'; they have: 2d, 3d_lowres"),
        ({"configurations": ["2d"]}, "none of them is given"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        copy_plans(make_plans(), "Small", [], **sizes)


def test_a_network_without_stages_cannot_be_resized() -> None:
    plans = make_plans()
    plans["configurations"] = {"3d_fullres": plans["configurations"]["3d_fullres"]}
    plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"] = {"embed_dim": 32}
    with pytest.raises(InputError, match="only its batch size"):
        copy_plans(plans, "Small", [], patch_size=[32, 32, 32])
    assert copy_plans(plans, "Small", [], batch_size=1)["configurations"]["3d_fullres"]["batch_size"] == 1


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (3.0, 1.0)])
def test_nearest_patch_size_is_the_nearest(spacing: tuple[float, float]) -> None:
    possible = [size for size in itertools.product(range(1, 81), repeat=2) if topology_of(spacing, size) is not None]
    for size in itertools.product(range(2, 70, 7), range(1, 70, 9)):
        distance = min(abs(a - size[0]) + abs(b - size[1]) for a, b in possible)
        a, b = nearest_patch_size(spacing, size)
        assert topology_of(spacing, (a, b)) is not None
        assert abs(a - size[0]) + abs(b - size[1]) == distance


def test_a_possible_size_is_one_nnunet_leaves_as_it_is() -> None:
    spacing = (2.0, 1.0, 1.0)
    for size in itertools.product(range(4, 40, 5), repeat=3):
        _, strides, _, padded, _ = get_pool_and_conv_props(spacing, size, 4, 999999)
        assert (topology_of(spacing, size) is not None) == (tuple(padded) == size and len(strides) > 1)


@pytest.fixture
def planned(nnunet_folders: Path) -> Path:
    folder = nnunet_folders / "nnUNet_preprocessed" / DATASET
    (folder / "nnUNetPlans_3d").mkdir(parents=True)
    (folder / "nnUNetPlans.json").write_text(json.dumps(make_plans()))
    channels = {str(i): name for i, name in enumerate(("T1", "T1c", "T2"))}
    (folder / "dataset.json").write_text(json.dumps({"channel_names": channels}))
    return folder


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    plan.add_arguments(parser)
    return plan.run(parser.parse_args(["-d", "501", *arguments]))


def test_command_writes_a_copy(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = (planned / "nnUNetPlans.json").read_bytes()
    assert (
        command("-p", "nnUNetPlans", "-o", "MyPlans", "--set", "pretraining.epochs=20", "--patch-size", *["32"] * 3)
        == 0
    )
    copy = json.loads((planned / "MyPlans.json").read_text(encoding="utf-8"))
    assert copy["plans_name"] == "MyPlans"
    assert [entries.get("data_identifier") for entries in copy["configurations"].values()] == [
        entries.get("data_identifier") for entries in make_plans()["configurations"].values()
    ]
    assert copy[PLANS_KEY]["pretraining"]["epochs"] == 20
    assert copy[PLANS_KEY].keys() == Settings().to_dict().keys()
    printed = capsys.readouterr().out
    assert "pretraining.epochs = 20 (default 250)" in printed
    assert "32x32x32" in printed
    assert "nnUNetv2_train 501 3d_fullres 0 -p MyPlans -tr SSLPretrainTrainer" in printed
    assert (planned / "nnUNetPlans.json").read_bytes() == source
    assert sorted(path.name for path in planned.glob("*.json*")) == ["MyPlans.json", "dataset.json", "nnUNetPlans.json"]


def test_command_says_what_will_run(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command("-p", "nnUNetPlans", "-o", "Restore", "--preset", "restoration", "--set", "pretraining.patients_per_step=2")
    printed = capsys.readouterr().out
    assert "pre-training: restoration (weight 1)" in printed
    # One view of two patches of the plans' own size, decoder included: a supervised step.
    memory = re.search(
        r"3d_fullres: 2 patches of 64 x 64 x 64 voxels a step, at 1\.00 times the cost of a supervised step of these plans; "
        r"about (\S+) GB .* estimates (\S+) GB",
        printed,
    )
    assert memory is not None
    assert memory[1] == memory[2]
    settings = settings_from_plans(
        json.loads((planned / "Restore.json").read_text(encoding="utf-8"))
    ).pretraining.objectives
    assert (settings.slem.weight, settings.contrastive.weight, settings.restoration.weight) == (0, 0, 1)
    # --set goes over the preset.
    command(
        "-p", "nnUNetPlans", "-o", "Both", "--preset", "slem", "--set", "pretraining.objectives.restoration.weight=0.5"
    )
    settings = settings_from_plans(
        json.loads((planned / "Both.json").read_text(encoding="utf-8"))
    ).pretraining.objectives
    assert (settings.slem.weight, settings.restoration.weight) == (1, 0.5)
    printed = capsys.readouterr().out
    assert "slem (weight 1), restoration (weight 0.5)" in printed
    # Half of the step for a patch of the plans' size, half for small ones that are not decoded.
    memory = re.search(
        r"3d_fullres: 1 patch of 64 x 64 x 64 voxels and (\d) patches of (\d+) x .* of different patients a step, "
        r"at (\S+) times .* about (\S+) GB .* estimates (\S+) GB",
        printed,
    )
    assert memory is not None
    assert 2 <= int(memory[1]) <= 8
    assert 32 <= int(memory[2]) < 64
    assert 0.5 < float(memory[3]) <= 1
    assert float(memory[4]) / float(memory[5]) == pytest.approx(float(memory[3]), abs=0.1)
    (planned / "dataset.json").write_text(json.dumps({"channel_names": {"0": "CT"}}))
    command("-p", "nnUNetPlans", "-o", "One", "--preset", "full")
    printed = capsys.readouterr().out
    assert "not possible: Dataset501_Brains has 1 modality (CT)" in printed
    assert "SSLPretrainTrainer" not in printed


@pytest.mark.parametrize("planner", [ExperimentPlanner, ResEncUNetPlanner])
@pytest.mark.parametrize("axes", ["2d", "3d"])
def test_memory_is_at_least_what_the_planner_reckons(planner: type, axes: str, nnunet_folders: Path) -> None:
    for folder in ("nnUNet_raw", "nnUNet_preprocessed"):
        (nnunet_folders / folder / DATASET).mkdir(parents=True, exist_ok=True)
    dataset = {"numTraining": 0, "file_ending": ".nii.gz", "dataset": {}, "channel_names": {}}
    (nnunet_folders / "nnUNet_raw" / DATASET / "dataset.json").write_text(json.dumps(dataset))
    (nnunet_folders / "nnUNet_preprocessed" / DATASET / "dataset_fingerprint.json").write_text("{}")
    numbers = vars(planner(501))
    values = numbers[f"UNet_reference_val_{axes}"] * numbers[f"UNet_reference_val_corresp_bs_{axes}"]
    assert 1 <= BYTES_PER_VALUE / (numbers["UNet_reference_val_corresp_GB"] * 1e9 / values) < 1.7


def test_an_unknown_preset_is_refused(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command("-p", "nnUNetPlans", "-o", "M", "--preset", "restore")
    said = capsys.readouterr().err
    assert all(name in said for name in PRESETS)
    assert not (planned / "M.json").exists()


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_settings(preset: str) -> None:
    settings = settings_with(Settings(), preset_assignments(preset)).pretraining
    assert (settings == Settings().pretraining) == (preset == "restoration")
    assert active_objectives(settings)


def test_command_puts_the_fusion_block_into_every_network(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command("-p", "nnUNetPlans", "-o", "Fused", "--cfb", "--patch-size", *["32"] * 3)
    copy = json.loads((planned / "Fused.json").read_text(encoding="utf-8"))
    for name in ("2d", "3d_fullres"):
        entries = copy["configurations"][name]
        assert entries["data_identifier"] == make_plans()["configurations"][name]["data_identifier"]
        assert entries["architecture"]["network_class_name"].endswith("ContextualFusionPlainConvUNet")
    arguments = copy["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    strides = np.prod(arguments["strides"], axis=0)
    assert arguments["fusion_bottleneck"] == (32 // strides).tolist()
    other = make_plans()
    other["configurations"]["2d"]["architecture"]["network_class_name"] = "somewhere.Primus"
    (planned / "Other.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match=r"2d: --cfb knows .* not somewhere\.Primus"):
        command("-p", "Other", "-o", "M", "--cfb")
    assert not (planned / "M.json").exists()


def test_a_copy_is_named_by_what_it_is(planned: Path) -> None:
    command("-p", "nnUNetPlans", "--cfb")
    command("-p", "nnUNetPlans")
    assert {"nnUNetPlansCFB.json", "nnUNetPlansSSL.json"} <= {path.name for path in planned.iterdir()}


def test_a_network_that_cannot_be_pretrained_is_said(planned: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = make_plans()
    other["configurations"]["3d_fullres"]["architecture"] = {
        "network_class_name": "somewhere.Primus",
        "arch_kwargs": {"embed_dim": 32},
        "_kw_requires_import": [],
    }
    (planned / "Other.json").write_text(json.dumps(other))
    command("-p", "Other")
    assert re.search(r"3d_fullres: not possible: .*the plans describe somewhere\.Primus", capsys.readouterr().out)


def test_settings_add_up_over_copies(planned: Path) -> None:
    command("-p", "nnUNetPlans", "-o", "First", "--set", "pretraining.epochs=20", "--set", "finetuning.seed=3")
    command("-p", "First", "-o", "Second", "--set", "finetuning.epochs=7", "--set", "finetuning.seed=4")
    settings = settings_from_plans(json.loads((planned / "Second.json").read_text(encoding="utf-8")))
    assert (settings.pretraining.epochs, settings.finetuning.epochs, settings.finetuning.seed) == (20, 7, 4)


def test_an_existing_copy_is_kept_unless_told(planned: Path) -> None:
    command("-p", "nnUNetPlans", "-o", "MyPlans")
    before = (planned / "MyPlans.json").read_bytes()
    with pytest.raises(InputError, match=r"exists.*--overwrite"):
        command("-p", "nnUNetPlans", "-o", "MyPlans", "--batch-size", "9")
    assert (planned / "MyPlans.json").read_bytes() == before
    command("-p", "nnUNetPlans", "-o", "MyPlans", "--batch-size", "9", "--overwrite")
    assert json.loads((planned / "MyPlans.json").read_text(encoding="utf-8"))["configurations"]["2d"]["batch_size"] == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "nnUNetPlan", "-o", "M"], "no plans 'nnUNetPlan'.*there are: Other, nnUNetPlans"),
        (["-p", "Other", "-o", "M"], "another data set, Dataset502_Y"),
        (["-p", "dataset", "-o", "M"], "not a plans file"),
        (["-p", "nnUNetPlans", "-o", "nnUNetPlans", "--overwrite"], "name of the source"),
        (["-p", "nnUNetPlans", "-o", "a__b"], "'a__b'"),
        (["-p", "nnUNetPlans", "-o", "a/b"], "'a/b'"),
        (["-p", "nnUNetPlans", "-o", "M.json"], "'M.json'"),
        (["-p", "nnUNetPlans", "-o", "M", "--set", "pretraining.epoch=3"], "nearest known one is 'pretraining.epochs'"),
        (["-p", "nnUNetPlans", "-o", "M", "--set", "pretraining.epochs=many"], "pretraining.epochs"),
        (["-p", "nnUNetPlans", "-o", "M", "--batch-size", "-1"], "batch size -1"),
    ],
)
def test_unusable_arguments_leave_no_file(planned: Path, arguments: list[str], message: str) -> None:
    (planned / "Other.json").write_text(json.dumps({**make_plans(), "dataset_name": "Dataset502_Y"}))
    files = sorted(planned.iterdir())
    with pytest.raises(InputError, match=message):
        command(*arguments)
    assert sorted(planned.iterdir()) == files


def test_an_unplanned_data_set_is_told_what_to_do(nnunet_folders: Path) -> None:
    (nnunet_folders / "nnUNet_raw" / DATASET).mkdir()
    with pytest.raises(InputError, match="nnUNetv2_plan_and_preprocess -d 501"):
        command("-p", "nnUNetPlans", "-o", "M")
