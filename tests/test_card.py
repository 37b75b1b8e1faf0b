"""Weights as a folder to share, and back."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from huggingface_hub.errors import HfHubHTTPError
from nnunetv2.run.load_pretrained_weights import load_pretrained_weights
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint
from safetensors.torch import load_file, load_model

from nnssl_plugin.cli import main
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.sharing import card_folder, hub
from nnssl_plugin.sharing.shared_weights import shared_checkpoint, unique_tensors
from tests.synthetic import NAME
from tests.test_export_command import STEM, export, folder, write_checkpoint  # noqa: F401
from tests.test_export_topology import build
from tests.test_trainers import output, prepare, pretrain

# Of the HTTP client below huggingface_hub, as when the Hub cannot be reached.
HTTP_ERROR = HfHubHTTPError.__bases__[0]
CHANNELS = ["T1", "T1c", "T2", "FLAIR"]
PROVENANCE = {
    "made_by": "SSLPretrainTrainer",
    "versions": {"nnssl_plugin": "1.2.3"},
    "dataset": "Dataset501_BraTS",
    "channel_names": CHANNELS,
    "configuration": "3d_fullres",
    "further_datasets": [502],
    "objectives": {"restoration": 1.0},
    "epochs": 250,
    "iterations_per_epoch": 100,
}


def checkpoint(folder: Path) -> Path:  # noqa: F811
    """Of the plugin, with all that must not be shared."""
    file = folder / "checkpoint_final.pth"
    write_checkpoint(file, CHANNELS)
    content = torch.load(file, weights_only=False)
    content["init_args"]["plans"]["cases"] = ["/secret/a.nii.gz"]
    content |= {
        "optimizer_state": {"state": {0: torch.zeros(10_000)}},
        "logging": {"secret": "/secret/log"},
        "citations": [{"type": "x", "name": "y", "apa_citations": ["Somebody (2025). Something."]}],
        "nnssl_plugin": {"provenance": PROVENANCE, "heads": {"a": torch.zeros(3)}, "random_state": {}},
    }
    torch.save(content, file)
    return file


def card(*words: Any) -> int:
    return main(["card", *map(str, words)])


def test_the_folder_and_the_way_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    file, out = checkpoint(folder), folder / "with a space" / "weights"
    scores = folder / "scores.json"
    scores.write_text(
        json.dumps(
            {"mean": {"WT": {"Dice": 0.91234, "HD95": None, "Sensitivity": 1}}, "scored": 12, "evaluation": "brats"}
        )
    )
    assert card(file, "-o", out, "--license", "cc-by-4.0", "--scores", scores, "--name", "Brains") == 0
    assert {path.name for path in out.iterdir()} == {"checkpoint.pth", "model.safetensors", "plans.json", "README.md"}
    assert not list(out.parent.glob(".*"))
    read = ModelCard.load(out / "README.md")
    found = read.data.to_dict()
    expected = {
        "license": "cc-by-4.0",
        "datasets": ["Dataset501_BraTS", "502"],
        "modalities": CHANNELS,
        "objectives": ["restoration"],
        "budget": {"epochs": 250, "iterations_per_epoch": 100},
        "citations": ["Somebody (2025). Something."],
    }
    assert {key: found[key] for key in expected} == expected
    (result,) = found["model-index"][0]["results"]
    assert found["model-index"][0]["name"] == "Brains"
    assert result["metrics"] == [{"type": "dice", "value": 0.91234, "name": "Dice WT"}]
    for said in (
        "# Brains",
        "T1, T1c, T2, FLAIR",
        "250 epochs of 100 steps",
        "restoration (weight 1)",
        "| WT | 0.9123 |  |",
        "Somebody (2025)",
    ):
        assert said in read.text
    whole = torch.load(file, weights_only=False)["network_weights"]
    shared = torch.load(out / "checkpoint.pth", weights_only=True)
    assert all(torch.equal(value, shared["network_weights"][name]) for name, value in whole.items())
    tensors = load_file(out / "model.safetensors")
    assert all(torch.equal(value, whole[name]) for name, value in tensors.items())
    for secret in (b"Smith", b"secret", str(folder).encode()):
        assert not any(secret in path.read_bytes() for path in out.iterdir())
    assert "optimizer_state" not in shared
    assert export(out, "-o", folder / "a.pth") == export(file, "-o", folder / "b.pth") == 0
    one, other = (torch.load(folder / f"{name}.pth", weights_only=True)["network_weights"] for name in "ab")
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    capsys.readouterr()
    assert main(["show", str(out / "checkpoint.pth")]) == 0
    assert "Dataset501_BraTS" in capsys.readouterr().out


def test_both_files_fill_nnunets_network(folder: Path) -> None:  # noqa: F811
    file, out = checkpoint(folder), folder / "out"
    assert card(file, "-o", out, "--license", "mit") == 0
    expected = torch.load(file, weights_only=False)["network_weights"]
    by_nnunet, by_safetensors = (build(channels=4, seed=seed) for seed in (8, 9))
    assert not torch.equal(by_nnunet.state_dict()[STEM[False]], expected[STEM[False]])
    load_pretrained_weights(by_nnunet, str(out / "checkpoint.pth"))
    load_model(by_safetensors, out / "model.safetensors")
    for name, value in expected.items():
        assert torch.equal(by_safetensors.state_dict()[name], value), name
        assert ".seg_layers." in name or torch.equal(by_nnunet.state_dict()[name], value), name


def test_of_a_real_pretraining(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    results = prepare(nnunet_folders, pretraining={"epochs": 1}, training=[{"image": "/secret/case00.nii.gz"}])
    pretrain("2d")
    file = output(results, configuration="2d") / "checkpoint_final.pth"
    out, target = nnunet_folders / "out", nnunet_folders / "weights.pth"
    assert card(file, "-o", out, "--license", "cc-by-4.0") == 0
    for secret in (b"case00", b"secret", str(nnunet_folders).encode()):
        assert not any(secret in path.read_bytes() for path in out.iterdir())
    found = ModelCard.load(out / "README.md").data.to_dict()
    assert (found["datasets"], found["modalities"]) == ([NAME], CHANNELS)
    assert (found["objectives"], found["budget"]["epochs"]) == (["slem", "contrastive", "restoration"], 1)
    assert any("SLeM" in paper for paper in found["citations"])
    assert export(out, "-o", target, configuration="2d") == 0
    saved = torch.load(file, weights_only=True)["network_weights"]
    for shared in (out / "checkpoint.pth", target):
        stock = get_trainer_from_args(NAME, "2d", 0, "nnUNetTrainer", "Tiny", device=torch.device("cpu"))
        maybe_load_checkpoint(stock, False, False, str(shared))
        loaded = stock.network.state_dict()
        assert all(torch.equal(loaded[name], value) for name, value in saved.items() if ".seg_layers." not in name)


def test_an_interrupted_card_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(card_folder, "save", full)
    file, out = checkpoint(folder), folder / "new" / "out"
    assert card(file, "-o", out, "--license", "mit") == 2
    assert not list(out.parent.iterdir())


def test_every_tensor_is_kept_once() -> None:
    base = torch.arange(6.0)
    weights = {"a": base, "again": base, "part": base[:3], "other": torch.arange(6.0)}
    assert list(unique_tensors(weights)) == ["a", "part", "other"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--license is needed"),
        (["--license", "Our own"], "--license 'Our own' is not how Hugging Face names a licence"),
        (["--license", "mit", "--scores", "{folder}/none.json"], "none.json"),
        (["--license", "mit", "--scores", "{folder}/list.json"], "--scores: a file that nnssl_plugin evaluate wrote"),
    ],
)
def test_what_a_card_needs(
    folder: Path,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    message: str,
) -> None:
    (folder / "list.json").write_text('{"mean": [1]}')
    assert card(checkpoint(folder), "-o", folder / "out", *[word.format(folder=folder) for word in words]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_an_existing_folder_and_a_file_that_is_no_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    (folder / "out").mkdir()
    assert card(checkpoint(folder), "-o", folder / "out", "--license", "mit") == 2
    assert "exists" in capsys.readouterr().err
    torch.save({"weights": {}}, folder / "odd.pth")
    assert card(folder / "odd.pth", "-o", folder / "new", "--license", "mit") == 2
    assert "network_weights" in capsys.readouterr().err


def test_folders_that_are_no_shared_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    (folder / "other").mkdir()
    assert export(folder / "other", "-o", folder / "x.pth") == 2
    assert "not that of a shared model" in capsys.readouterr().err
    assert card(checkpoint(folder), "-o", folder / "out", "--license", "mit") == 0
    (folder / "out" / "README.md").write_text("no front matter")
    assert export(folder / "out", "-o", folder / "x.pth") == 2
    assert "licence" in capsys.readouterr().err


def test_the_hub(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    calls: list[Any] = []

    class Api:
        def create_repo(self, name: str, exist_ok: bool) -> None:
            calls.append(name)

        def upload_folder(self, repo_id: str, folder_path: Path) -> str:
            calls.append(sorted(path.name for path in Path(folder_path).iterdir()))
            return f"https://huggingface.co/{repo_id}"

    monkeypatch.setattr(hub, "HfApi", Api)
    out = folder / "out"
    assert card(checkpoint(folder), "-o", out, "--license", "mit", "--push", "org/brains") == 0
    assert "https://huggingface.co/org/brains" in capsys.readouterr().out
    assert calls == ["org/brains", ["README.md", "checkpoint.pth", "model.safetensors", "plans.json"]]
    monkeypatch.setattr(hub, "snapshot_download", lambda name, allow_patterns: str(out))
    assert export("hf:org/brains", "-o", folder / "x.pth") == 0

    def refused(*_: Any, **__: Any) -> None:
        raise OSError("no network\nmore")

    monkeypatch.setattr(hub, "snapshot_download", refused)
    assert export("hf:org/brains", "-o", folder / "y.pth") == 2
    assert "hf:org/brains cannot be downloaded: no network" in capsys.readouterr().err

    def unreachable(*_: Any, **__: Any) -> None:
        raise HTTP_ERROR("name or service not known")

    monkeypatch.setattr(Api, "create_repo", unreachable)
    assert card(checkpoint(folder), "-o", folder / "again", "--license", "mit", "--push", "org/brains") == 2
    assert "name or service not known. The folder" in capsys.readouterr().err
    assert (folder / "again" / "README.md").is_file()


@pytest.mark.parametrize("path", ["/secret/first.pth", r"C:\secret\first.pth"])
def test_paths_in_settings_are_names_alone(path: str) -> None:
    settings = {"pretraining": {"objectives": {"region_contrast": {"stage_one": path, "text": {"model": "ORG/NAME"}}}}}
    checkpoint = {"init_args": {"plans": {"plans_name": "Regions", "nnssl_plugin": settings}}}
    shared = shared_checkpoint(checkpoint)["init_args"]["plans"]["nnssl_plugin"]["pretraining"]["objectives"]
    assert shared["region_contrast"] == {"stage_one": "first.pth", "text": {"model": "ORG/NAME"}}
