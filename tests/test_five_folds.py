"""Five folds through nnU-Net's own commands: one pre-training per fold, the choice among trainers, and their ensemble."""

import json
import subprocess
from pathlib import Path

import pytest
import SimpleITK as sitk

from nnssl_plugin.demo.phantom import write_phantom_cohort
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.runs.command import installed_script
from tests.scans import run_convert

CONFIGURATION = "3d_fullres"
TRAINERS = ("SSLFinetuneTrainer", "SSLScratchTrainer")


def nnunet(command: str, *arguments: object) -> None:
    subprocess.run([installed_script(command), *map(str, arguments)], check=True)


@pytest.mark.slow
def test_five_folds_and_their_ensemble(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_compile", "f")
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    write_phantom_cohort(nnunet_folders / "phantoms", range(5), True, (32, 32, 32), 5.0, 1)
    run_convert("brats", "-i", nnunet_folders / "phantoms", "-d", 501, "--name", "Phantom", "--copy")
    nnunet("nnUNetv2_plan_and_preprocess", "-d", 501, "-c", CONFIGURATION, "-npfp", 1, "-np", 1)
    steps = ["epochs=1", "iterations_per_epoch=2", "validation_iterations=1"]
    settings = [f"{part}.{step}" for part in ("pretraining", "finetuning") for step in steps]
    size = ["--batch-size", "2", "--patch-size", "32", "32", "32", "--features", "4", "8"]
    subprocess.run(
        [
            installed_script("nnssl_plugin"),
            "plan",
            "-d",
            "501",
            "-p",
            "nnUNetPlans",
            "-o",
            "Small",
            *size,
            "--set",
            *settings,
        ],
        check=True,
    )
    results = nnunet_folders / "nnUNet_results" / "Dataset501_Phantom"
    for fold in range(5):
        run = ["nnUNetv2_train", 501, CONFIGURATION, fold, "-p", "Small", "-device", "cpu"]
        nnunet(*run, "-tr", "SSLPretrainTrainer")
        weights = results / f"SSLPretrainTrainer__Small__{CONFIGURATION}" / f"fold_{fold}" / "checkpoint_final.pth"
        nnunet(*run, "-tr", TRAINERS[0], "-pretrained_weights", weights, "--npz")
        nnunet(*run, "-tr", TRAINERS[1], "--npz")

    nnunet("nnUNetv2_find_best_configuration", 501, "-p", "Small", "-c", CONFIGURATION, "-tr", *TRAINERS)
    information = json.loads((results / "inference_information.json").read_text(encoding="utf-8"))
    assert information["folds"] == [0, 1, 2, 3, 4]
    # Each trainer by itself and the ensemble of both.
    assert len(information["all_results"]) == 3

    images = nnunet_folders / "nnUNet_raw" / "Dataset501_Phantom" / "imagesTr"
    members = []
    for trainer in TRAINERS:
        members.append(nnunet_folders / trainer)
        model = ["-d", 501, "-p", "Small", "-c", CONFIGURATION, "-tr", trainer, "-f", 0, 1, 2, 3, 4]
        nnunet("nnUNetv2_predict", "-i", images, "-o", members[-1], *model, "-device", "cpu", "--save_probabilities")
    nnunet("nnUNetv2_ensemble", "-i", *members, "-o", nnunet_folders / "ensemble", "-np", 1)
    predicted = sorted((nnunet_folders / "ensemble").glob("*.nii.gz"))
    assert len(predicted) == 5
    for file in predicted:
        assert sitk.ReadImage(str(file)).GetSize() == (32, 32, 32)
