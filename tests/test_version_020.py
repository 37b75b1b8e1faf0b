"""What version 0.2.0 wrote is taken, or refused with what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint, run_training

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
from nnssl_plugin.checkpoints.description import describe
from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.settings.settings import settings_from_dict
from nnssl_plugin.training.run_record import RECORD
from tests.synthetic import NAME, make_plans, write_dataset

CPU = torch.device("cpu")
# Every setting that a plans file of 0.2.0 names.
SETTINGS = json.loads(
    """
    {"pretraining": {"epochs": 250, "iterations_per_epoch": 250, "validation_iterations": 25, "save_every": 10,
      "initial_lr": 0.001, "weight_decay": 0.01, "seed": 3, "datasets": [], "patients_per_step": 8, "crop_size": null,
      "minimum_foreground": 0.1, "mirroring": true,
      "denormalization": {"mode": "quantile", "grid": 4, "ratio_limit": 4.0, "statistics": "case"},
      "objectives": {
        "slem": {"weight": 1.0, "label_space": "auto", "label_count": null, "gap": 2, "intensity": 0.1,
          "denormalization_probability": 0.0},
        "contrastive": {"weight": 0.1, "temperature": 0.2, "embedding_size": 64, "pairs": "cross"},
        "local_contrastive": {"weight": 0.0, "temperature": 0.2, "embedding_size": 64, "depths": [1, 2], "locations": 512,
          "pairs": "cross"},
        "restoration": {"weight": 1.0, "cube_size": 8, "shown": 0.3, "shown_weight": 0.1}}},
     "finetuning": {"epochs": 1000, "iterations_per_epoch": 250, "validation_iterations": 50, "save_every": 50,
      "initial_lr": 0.001, "scratch_initial_lr": 0.01, "segmentation_lr": null, "warmup_fraction": 0.05,
      "decoder_up_fraction": 0.025, "decoder_down_fraction": 0.025, "label_fraction": 1.0, "label_seed": 0, "seed": null}}
    """
)


def test_plans_are_read() -> None:
    settings = settings_from_dict(SETTINGS)
    assert settings.pretraining.seed == 3
    assert settings.pretraining.objectives.restoration.cube_size == 8
    assert settings.finetuning.scratch_initial_lr == 0.01


def as_version_020(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint of now with the entries that one of 0.2.0 has: one group of parameters, no scaler, no initial weights."""
    groups = content["optimizer_state"]["param_groups"]
    content["optimizer_state"]["param_groups"] = [
        {**groups[0], "params": [number for group in groups for number in group["params"]], "fused": None}
    ]
    content["grad_scaler_state"] = None
    own = content["nnssl_plugin"]
    del own["teacher"], own["provenance"]["initial_weights"], content["init_args"][RECORD]["initial_weights"]
    own["version"] = own["provenance"]["versions"]["nnssl_plugin"] = "0.2.0"
    return content


@pytest.fixture
def old(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`checkpoint_final.pth` of a short run with all of those settings."""
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    short = {"epochs": 1, "iterations_per_epoch": 1, "validation_iterations": 1}
    settings = {section: {**values, **short} for section, values in SETTINGS.items()}
    write_dataset(nnunet_folders, make_plans(settings))
    run_training(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    (file,) = nnunet_folders.rglob("checkpoint_final.pth")
    torch.save(as_version_020(read_checkpoint(file)), file)
    return file


def test_a_checkpoint_is_taken_as_weights_shown_and_exported_but_not_continued(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = read_checkpoint(old)
    for name in ("SSLPretrainTrainer", "SSLFinetuneTrainer"):
        trainer = get_trainer_from_args(NAME, "3d_fullres", 0, name, "Tiny", device=CPU)
        maybe_load_checkpoint(trainer, False, False, str(old))
        for key, value in trainer.network.encoder.state_dict().items():
            assert torch.equal(value, saved["network_weights"][f"encoder.{key}"]), key
    assert "versions: nnssl_plugin 0.2.0" in "\n".join(describe(saved))
    assert main(["export", str(old), "--to-dataset", NAME, "-p", "Tiny", "-c", "3d_fullres", "--check"]) == 0
    assert "nnU-Net loads the weights" in capsys.readouterr().out
    trainer = get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    with pytest.raises(
        InputError, match=r"made by 0\.2\.0.*use that version, or pre-train again.*-pretrained_weights.*export"
    ):
        trainer.load_checkpoint(str(old))
    # Its record does not say from which weights it started.
    with pytest.raises(InputError, match="finished run that differs in initial_weights"):
        run_training(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)
    assert torch.load(old, weights_only=True)["nnssl_plugin"]["version"] == "0.2.0"
