import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.commands import align
from nnssl_plugin.errors import InputError
from nnssl_plugin.planning import fingerprint, preprocessing

PRETRAIN, TARGET = "Dataset502_Unlabelled", "Dataset501_Brains"
DATASET_JSON = {
    "channel_names": {"0": "T1", "1": "FLAIR"},
    "labels": {"background": 0, "lesion": 1},
    "numTraining": 2,
    "file_ending": ".nii.gz",
}
RESAMPLING = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
CONFIGURATION = {
    "data_identifier": "nnUNetPlans_3d_fullres",
    "preprocessor_name": "DefaultPreprocessor",
    "batch_size": 2,
    "patch_size": [16, 16, 16],
    "spacing": [1.0, 1.0, 1.0],
    "normalization_schemes": ["ZScoreNormalization", "ZScoreNormalization"],
    "use_mask_for_norm": [False, False],
    "resampling_fn_data": "resample_data_or_seg_to_shape",
    "resampling_fn_data_kwargs": RESAMPLING,
    "resampling_fn_seg": "resample_data_or_seg_to_shape",
    "resampling_fn_seg_kwargs": {**RESAMPLING, "is_seg": True},
    "architecture": {},
}
PLANS = {
    "dataset_name": TARGET,
    "plans_name": "nnUNetPlans",
    "image_reader_writer": "SimpleITKIO",
    "transpose_forward": [0, 1, 2],
    "transpose_backward": [0, 1, 2],
    "label_manager": "LabelManager",
    "foreground_intensity_properties_per_channel": {"0": {"mean": 1.0}, "1": {"mean": 2.0}},
    "configurations": {
        "2d": {**CONFIGURATION, "data_identifier": "nnUNetPlans_2d", "patch_size": [16, 16], "spacing": [1.0, 1.0]},
        "3d_fullres": CONFIGURATION,
        "3d_cascade_fullres": {"inherits_from": "3d_fullres"},
    },
}
CASES = ("a", "b")
LISTING = {
    case: {
        "images": [f"imagesTr/{case}_0000.nii.gz", f"imagesTr/{case}_0001.nii.gz"],
        "label": f"labelsTr/{case}.nii.gz",
    }
    for case in CASES
}


def write_plans(folder: Path, **changes: Any) -> None:
    plans = {**PLANS, **changes}
    (folder / f"{plans['plans_name']}.json").write_text(json.dumps(plans))


@pytest.fixture
def data(nnunet_folders: Path) -> Path:
    """A planned target, preprocessed for 3d_fullres, and a raw pre-training data set of two cases at 1 x 1 x 2 mm."""
    target = nnunet_folders / "nnUNet_preprocessed" / TARGET
    (target / "nnUNetPlans_3d_fullres").mkdir(parents=True)
    (target / "dataset.json").write_text(json.dumps(DATASET_JSON))
    write_plans(target)
    raw = nnunet_folders / "nnUNet_raw" / PRETRAIN
    rng = np.random.default_rng(0)
    for case in CASES:
        label = np.zeros((10, 16, 18), np.uint8)
        label[3:7, 4:9, 4:9] = 1
        images = {
            f"imagesTr/{case}_000{channel}": rng.normal(9, 2, label.shape).astype(np.float32) for channel in (0, 1)
        }
        for name, voxels in {**images, f"labelsTr/{case}": label}.items():
            (raw / name).parent.mkdir(parents=True, exist_ok=True)
            image = sitk.GetImageFromArray(voxels)
            image.SetSpacing((1, 1, 2))
            sitk.WriteImage(image, str(raw / f"{name}.nii.gz"))
    # In-place listing, as the converters write it, also spares nnU-Net a pool of processes.
    (raw / "dataset.json").write_text(json.dumps({**DATASET_JSON, "dataset": LISTING}))
    return nnunet_folders


@pytest.fixture
def pretrain(data: Path) -> Path:
    """Preprocessed folder of the pre-training data set, with nothing but a fingerprint in it."""
    folder = data / "nnUNet_preprocessed" / PRETRAIN
    folder.mkdir()
    fingerprint = {"spacings": [[2.0, 1.0, 1.0]] * 2, "median_relative_size_after_cropping": 1.0}
    (folder / "dataset_fingerprint.json").write_text(json.dumps(fingerprint))
    return folder


def command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    align.add_arguments(parser)
    return align.run(parser.parse_args(["--pretrain", "502", "--target", "501", *arguments]))


Preprocess = Callable[..., None]


@pytest.fixture
def runs(pretrain: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands in for nnU-Net's preprocessing, which takes seconds to start; lists the configurations of each run."""
    done: list[list[str]] = []

    def preprocess(dataset_id: int, plans_name: str, configurations: list[str], processes: list[int]) -> None:
        done.append(configurations)
        write_cases(pretrain, plans_name, configurations, CASES)

    monkeypatch.setattr(preprocessing, "preprocess_dataset", preprocess)
    return done


def write_cases(folder: Path, plans_name: str, configurations: list[str], cases: tuple[str, ...]) -> None:
    plans = json.loads((folder / f"{plans_name}.json").read_text(encoding="utf-8"))
    for configuration in configurations:
        made = folder / plans["configurations"][configuration]["data_identifier"]
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        for case in cases:
            for ending in (".b2nd", "_seg.b2nd", ".pkl"):
                (made / f"{case}{ending}").touch()


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_preprocesses_once(pretrain: Path, runs: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert command() == 0
    assert runs == [["3d_fullres"]]
    assert "2 x 1 x 1 mm (median) are resampled to 1 x 1 x 1 mm" in capsys.readouterr().out
    assert json.loads((pretrain / "nnUNetPlans.json").read_text(encoding="utf-8")) == {
        **PLANS,
        "dataset_name": PRETRAIN,
    }
    expected = ["dataset.json", "dataset_fingerprint.json", "nnUNetPlans.json", "nnUNetPlans_3d_fullres"]
    assert contents(pretrain) == expected

    assert command() == 0
    assert runs == [["3d_fullres"]]
    assert "already preprocessed" in capsys.readouterr().out
    assert contents(pretrain) == expected

    command("--overwrite")
    assert len(runs) == 2
    assert contents(pretrain) == expected


def test_a_damaged_fingerprint_is_made_again(
    pretrain: Path, runs: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pretrain / "dataset_fingerprint.json"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[: len(whole) // 2])

    def extract(dataset_ids: list[int], num_processes: int, clean: bool) -> None:
        assert clean
        path.write_text(whole)

    monkeypatch.setattr(fingerprint, "extract_fingerprints", extract)
    assert command() == 0
    assert runs == [["3d_fullres"]]
    assert "dataset_fingerprint.json is truncated or damaged; it is made again" in capsys.readouterr().out


def test_a_copy_of_the_plans_shares_the_data(data: Path, pretrain: Path, runs: list[list[str]]) -> None:
    command("-c", "2d", "3d_fullres", "3d_cascade_fullres")
    assert runs == [["2d", "3d_fullres"]]
    write_plans(data / "nnUNet_preprocessed" / TARGET, plans_name="MyPlans", nnssl_plugin={})
    command("-p", "MyPlans", "-c", "3d_fullres")
    assert len(runs) == 1
    copy = json.loads((pretrain / "MyPlans.json").read_text(encoding="utf-8"))
    assert copy == {**PLANS, "plans_name": "MyPlans", "nnssl_plugin": {}, "dataset_name": PRETRAIN}
    assert "MyPlans_3d_fullres" not in contents(pretrain)


@pytest.mark.parametrize("lost", ["b.pkl", "b.b2nd", "b_seg.b2nd"])
def test_an_incomplete_folder_is_made_again(pretrain: Path, runs: list[list[str]], lost: str) -> None:
    command()
    (pretrain / "nnUNetPlans_3d_fullres" / lost).unlink()
    command()
    assert len(runs) == 2
    assert (pretrain / "nnUNetPlans_3d_fullres" / lost).is_file()


@pytest.mark.parametrize("cases", [("a",), ("a", "b", "c")])
def test_other_cases_than_the_raw_ones_are_an_error(
    pretrain: Path, monkeypatch: pytest.MonkeyPatch, cases: tuple[str, ...]
) -> None:
    def preprocess(dataset_id: int, plans_name: str, configurations: list[str], processes: list[int]) -> None:
        write_cases(pretrain, plans_name, configurations, cases)

    monkeypatch.setattr(preprocessing, "preprocess_dataset", preprocess)
    with pytest.raises(RuntimeError, match=": b$" if len(cases) == 1 else ": c$"):
        command()
    assert contents(pretrain) == ["dataset.json", "dataset_fingerprint.json"]


def test_a_run_that_dies_leaves_what_was_there(
    pretrain: Path, runs: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    command()
    before = contents(pretrain)

    def die(dataset_id: int, plans_name: str, configurations: list[str], processes: list[int]) -> None:
        write_cases(pretrain, plans_name, configurations, ("a",))
        raise KeyboardInterrupt

    monkeypatch.setattr(preprocessing, "preprocess_dataset", die)
    with pytest.raises(KeyboardInterrupt):
        command("--overwrite")
    assert contents(pretrain) == before
    assert len(contents(pretrain / "nnUNetPlans_3d_fullres")) == 6


def test_plans_of_its_own_are_replaced_only_when_told(pretrain: Path, runs: list[list[str]]) -> None:
    own = {**PLANS["configurations"], "3d_fullres": {**CONFIGURATION, "spacing": [2.0, 1.0, 1.0]}}
    write_plans(pretrain, dataset_name=PRETRAIN, configurations=own)
    write_cases(pretrain, "nnUNetPlans", ["2d", "3d_fullres"], CASES)
    before = (pretrain / "nnUNetPlans.json").read_bytes()
    with pytest.raises(InputError, match=r"nnUNetPlans_3d_fullres is described otherwise by nnUNetPlans.*--overwrite"):
        command()
    assert (pretrain / "nnUNetPlans.json").read_bytes() == before
    command("-c", "2d", "--overwrite")
    # The new plans would claim the 3d data that the old ones made.
    assert "nnUNetPlans_3d_fullres" not in contents(pretrain)
    assert "nnUNetPlans_2d" in contents(pretrain)
    command()
    assert runs == [["2d"], ["3d_fullres"]]


def test_a_folder_of_unknown_origin_is_not_trusted(pretrain: Path, runs: list[list[str]]) -> None:
    (pretrain / "nnUNetPlans_3d_fullres").mkdir()
    with pytest.raises(InputError, match="described by no plans"):
        command()
    assert not runs


def test_differences_are_said(data: Path, runs: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    changed = {"normalization_schemes": ["CTNormalization", "ZScoreNormalization"], "use_mask_for_norm": [False, True]}
    configurations = {"3d_fullres": {**CONFIGURATION, **changed, "spacing": [2.0, 1.0, 1.0]}}
    write_plans(data / "nnUNet_preprocessed" / TARGET, configurations=configurations)
    command()
    printed = capsys.readouterr().out
    assert "stay at 2 x 1 x 1 mm" in printed
    assert f"channel 0 is normalised with the intensities of {TARGET}" in printed
    assert "z-scored inside the image content only" in printed
    assert "100%" in printed


def change_dataset_json(data: Path, **changes: Any) -> None:
    (data / "nnUNet_raw" / PRETRAIN / "dataset.json").write_text(
        json.dumps({**DATASET_JSON, "dataset": LISTING, **changes})
    )


@pytest.mark.parametrize(
    ("spoil", "arguments", "message"),
    [
        (None, ["--pretrain", "501"], "both Dataset501_Brains"),
        (None, ["--pretrain", "503"], "503"),
        (None, ["--pretrain", "501", "--target", "502"], "no raw data of Dataset501_Brains"),
        (None, ["-p", "MyPlans"], "no plans 'MyPlans'.*there are: nnUNetPlans"),
        (None, ["-c", "3d_lowres"], "no configuration '3d_lowres'"),
        (None, ["-np", "0"], "-np 0"),
        (
            lambda data: change_dataset_json(data, channel_names={"0": "FLAIR", "1": "T1"}),
            [],
            r"\['FLAIR', 'T1'\].*\['T1', 'FLAIR'\]",
        ),
        (
            lambda data: change_dataset_json(data, channel_names={"0": "t1", "1": "FLAIR"}),
            [],
            r"\['t1', 'FLAIR'\].*\['T1', 'FLAIR'\]",
        ),
        (
            lambda data: (data / "nnUNet_raw" / PRETRAIN / "labelsTr" / "b.nii.gz").unlink(),
            [],
            "case b.*labelsTr/b.nii.gz does not exist",
        ),
        (
            lambda data: change_dataset_json(
                data, dataset={"a": {**LISTING["a"], "images": LISTING["a"]["images"][:1]}}
            ),
            [],
            "case a.*1 image files, expected 2",
        ),
        (
            lambda data: (data / "nnUNet_preprocessed" / TARGET / "nnUNetPlans_3d_fullres").rmdir(),
            [],
            "not preprocessed under nnUNetPlans.*-c",
        ),
        (
            lambda data: write_plans(data / "nnUNet_preprocessed" / TARGET, dataset_name="Dataset500_Old"),
            [],
            "another data set, Dataset500_Old",
        ),
    ],
)
def test_unusable_input_is_refused_before_any_work(
    data: Path, spoil: Callable[[Path], None] | None, arguments: list[str], message: str
) -> None:
    if spoil:
        spoil(data)
    with pytest.raises(InputError, match=message):
        command(*arguments)
    assert not (data / "nnUNet_preprocessed" / PRETRAIN).exists()


@pytest.mark.slow
@pytest.mark.parametrize("listed", [True, False])
def test_with_nnunet_itself(data: Path, listed: bool) -> None:
    if not listed:
        (data / "nnUNet_raw" / PRETRAIN / "dataset.json").write_text(json.dumps(DATASET_JSON))
    assert command("-np", "1") == 0
    folder = data / "nnUNet_preprocessed" / PRETRAIN
    assert contents(folder) == [
        "dataset.json",
        "dataset_fingerprint.json",
        "gt_segmentations",
        "nnUNetPlans.json",
        "nnUNetPlans_3d_fullres",
    ]
    for case in CASES:
        images = blosc2.open(str(folder / "nnUNetPlans_3d_fullres" / f"{case}.b2nd"), mode="r")[:]
        # Ten slices of 2 mm at the target's 1 mm.
        assert images.shape == (2, 20, 16, 18)
        assert np.allclose(images.mean(axis=(1, 2, 3)), 0, atol=0.05)


@pytest.mark.slow
def test_labels_that_are_all_empty_are_explained(data: Path) -> None:
    for case in CASES:
        path = str(data / "nnUNet_raw" / PRETRAIN / "labelsTr" / f"{case}.nii.gz")
        sitk.WriteImage(sitk.ReadImage(path) * 0, path)
    with pytest.raises(InputError, match="all labels of Dataset502_Unlabelled are empty"):
        command("-np", "1")
