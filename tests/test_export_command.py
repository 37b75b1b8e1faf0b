"""`nnssl_plugin export`, `import-nnssl` and `show` on files, against nnU-Net's own functions."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

from nnssl_plugin.cli import main
from nnssl_plugin.export.channels import adapt_input
from nnssl_plugin.planning.fused_network import with_contextual_fusion
from tests.synthetic import NAME, architecture, make_dataset_json, make_plans, write_dataset
from tests.test_export_topology import build

STEM = {False: "encoder.stages.0.0.convs.0.conv.weight", True: "encoder.stem.convs.0.conv.weight"}


@pytest.fixture
def folder(nnunet_folders: Path) -> Path:
    """A target with four channels, planned but not preprocessed: `Tiny` (plain), `Residual`, `Wide` and `Fused`."""
    base = nnunet_folders / "nnUNet_preprocessed" / NAME
    base.mkdir()
    (base / "dataset.json").write_text(json.dumps(make_dataset_json(["case00"])))
    for name, residual, features in (
        ("Tiny", False, 4),
        ("Residual", True, 4),
        ("Wide", False, 8),
        ("Fused", False, 4),
    ):
        plans = {**make_plans(residual=residual), "plans_name": name}
        for axes, configuration in ((2, "2d"), (3, "3d_fullres")):
            network = architecture(axes, residual, features=features)
            plans["configurations"][configuration]["architecture"] = network
        plans = with_contextual_fusion(plans) if name == "Fused" else plans
        (base / f"{name}.json").write_text(json.dumps(plans))
    return nnunet_folders


def write_checkpoint(file: Path, channel_names: list[str], **options: Any) -> dict[str, torch.Tensor]:
    """A checkpoint as nnU-Net writes it, case ids and paths included."""
    dataset_json = {
        **make_dataset_json(["patient Smith"]),
        "channel_names": {str(i): name for i, name in enumerate(channel_names)},
        "dataset": {"patient Smith": {"images": ["/secret/a.nii.gz"], "label": "/secret/b"}},
    }
    weights = build(channels=len(channel_names), seed=7, **options).state_dict()
    plans = {"dataset_name": "Dataset777_Source", "plans_name": "SourcePlans"}
    arguments = {"dataset_json": dataset_json, "plans": plans, "configuration": "3d_fullres", "fold": 0}
    torch.save(
        {"network_weights": weights, "init_args": arguments, "trainer_name": "nnUNetTrainer", "current_epoch": 9}, file
    )
    return dict(weights)


def export(source: Path, *options: Any, plans: str = "Tiny", configuration: str = "3d_fullres") -> int:
    command = ["export", source, "--to-dataset", NAME, "-p", plans, "-c", configuration, *options]
    return main([str(argument) for argument in command])


@pytest.mark.parametrize("residual", [False, True])
def test_stock_nnunet_loads_an_export_with_other_channels(nnunet_folders: Path, residual: bool) -> None:
    write_dataset(nnunet_folders, make_plans(residual=residual), cases=2)
    source, out = nnunet_folders / "source.pth", nnunet_folders / "out.pth"
    saved = write_checkpoint(source, ["FLAIR", "T1Gd", "T1n"], residual=residual)
    assert export(source, "-o", out) == 0
    stock = get_trainer_from_args(NAME, "3d_fullres", 0, "nnUNetTrainer", "Tiny", device=torch.device("cpu"))
    maybe_load_checkpoint(stock, False, False, str(out))
    for key, value in stock.network.state_dict().items():
        if value.shape == saved[key].shape and ".seg_layers." not in key:
            assert torch.equal(value, saved[key]), key
    # T1, T1c, T2, FLAIR of the target.
    expected = adapt_input(saved[STEM[residual]], [2, 1, None, 0])
    assert torch.equal(stock.network.state_dict()[STEM[residual]], expected)


def test_export_says_what_it_did_and_shares_no_case_or_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder / "source.pth", folder / "out.pth"
    write_checkpoint(source, ["T1", "T1ce", "FLAIR"])
    assert export(source, "-o", out) == 0
    printed = capsys.readouterr().out
    assert "T1c ← T1ce" in printed
    assert "T2 ← mean of all (T1, T1ce, FLAIR)" in printed
    assert "3 input channels → 4" in printed
    assert "-pretrained_weights" in printed
    content = out.read_bytes()
    for secret in (b"Smith", b"secret", str(folder).encode()):
        assert secret not in content
    read = torch.load(out, weights_only=True)
    record = read["nnssl_plugin"]["provenance"]
    assert record["transferred"] == {"encoder": 1.0, "decoder": 1.0}
    assert record["parent"]["sha256"]
    assert not list(folder.glob(".*"))

    assert main(["show", str(out)]) == 0
    shown = capsys.readouterr().out
    for line in ("made by: nnssl_plugin export", "channel names: T1, T1c, T2, FLAIR", record["parent"]["sha256"]):
        assert line in shown
    assert main(["show", str(source)]) == 0
    shown = capsys.readouterr().out
    for line in (
        "made by: nnUNetTrainer",
        "dataset: Dataset777_Source",
        "epochs: 9",
        "plain 3d U-Net, features 4 8 16",
    ):
        assert line in shown


def test_an_export_can_be_exported_again(folder: Path) -> None:
    source, first, second = (folder / name for name in ("source.pth", "first.pth", "second.pth"))
    saved = write_checkpoint(source, ["FLAIR", "T2", "T1c", "T1"])
    assert export(source, "-o", first) == 0
    assert export(first, "-o", second) == 0
    once, twice = torch.load(first, weights_only=True), torch.load(second, weights_only=True)
    assert all(torch.equal(value, twice["network_weights"][key]) for key, value in once["network_weights"].items())
    assert torch.equal(once["network_weights"][STEM[False]], saved[STEM[False]][:, [3, 2, 1, 0]])
    assert twice["nnssl_plugin"]["provenance"]["parent"]["parent"]["sha256"]


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_check_writes_nothing(folder: Path, configuration: str, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder / "source.pth"
    write_checkpoint(source, ["T1", "T1c", "T2", "FLAIR"], axes=int(configuration[0]))
    before = sorted(folder.iterdir())
    assert export(source, "--check", configuration=configuration) == 0
    shape = "1x2x32x32" if configuration == "2d" else "1x2x16x16x16"
    assert f"one forward pass gives {shape}" in capsys.readouterr().out
    assert sorted(folder.iterdir()) == before


def test_fusion_plans_and_stock_plans(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, fused, stock = (folder / name for name in ("source.pth", "fused.pth", "stock.pth"))
    saved = write_checkpoint(source, ["T1", "T1c", "T2", "FLAIR"])
    assert export(source, "-o", fused, plans="Fused") == 0
    assert "fusion" in capsys.readouterr().out
    weights = torch.load(fused, weights_only=True)["network_weights"]
    assert {key for key in weights if key.startswith("fusion.")} == set(weights) - set(saved)
    assert export(fused, "-o", stock) == 0
    again = folder / "again.pth"
    capsys.readouterr()
    assert export(fused, "-o", again, plans="Fused") == 0
    assert re.search(r"fusion .*100\.0", capsys.readouterr().out)
    back = torch.load(stock, weights_only=True)["network_weights"]
    assert all(torch.equal(back[key], value) for key, value in saved.items() if ".seg_layers." not in key)


def test_less_than_half_is_refused_unless_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder / "source.pth", folder / "out.pth"
    write_checkpoint(source, ["T1", "T1c", "T2", "FLAIR"], features_per_stage=[8, 12, 12])
    assert export(source, "-o", out, plans="Wide") == 2
    assert "of the encoder's parameters would be transferred, less than half" in capsys.readouterr().err
    assert not out.exists()
    assert export(source, "-o", out, "--allow-partial", plans="Wide") == 0
    assert 0 < torch.load(out, weights_only=True)["nnssl_plugin"]["provenance"]["transferred"]["encoder"] < 0.5


def bad_source(kind: str, file: Path) -> None:
    if kind == "truncated":
        write_checkpoint(file, ["T1"])
        file.write_bytes(file.read_bytes()[:20000])
    elif kind == "no checkpoint":
        file.write_text("x")
    elif kind == "unnamed channels":
        torch.save({"network_weights": build().state_dict()}, file)
    elif kind == "wrong channels":
        write_checkpoint(file, ["T1", "T2"])
        content = torch.load(file, weights_only=True)
        content["init_args"]["dataset_json"]["channel_names"] = {"0": "T1"}
        torch.save(content, file)
    elif kind == "CT":
        write_checkpoint(file, ["CT"])
    elif kind == "good":
        write_checkpoint(file, ["T1", "T1c", "T2", "FLAIR"])


@pytest.mark.parametrize(
    ("kind", "options", "plans", "configuration", "message"),
    [
        ("absent", [], "Tiny", "3d_fullres", "there is no file"),
        ("truncated", [], "Tiny", "3d_fullres", "is truncated or damaged"),
        ("no checkpoint", [], "Tiny", "3d_fullres", "is no checkpoint"),
        ("unnamed channels", [], "Tiny", "3d_fullres", "does not say which channels it was trained on"),
        ("wrong channels", [], "Tiny", "3d_fullres", "its first convolution has 2 input channels"),
        ("CT", [], "Tiny", "3d_fullres", "no channel of the target (T1, T1c, T2, FLAIR)"),
        ("good", [], "Residual", "3d_fullres", "holds a plain 3d U-Net, the target's plans describe a residual"),
        ("good", [], "Tiny", "2d", "describe a plain 2d one"),
        ("good", [], "Other", "3d_fullres", "has no plans 'Other'"),
        ("good", [], "Tiny", "3d_lowres", "have no configuration '3d_lowres'"),
        ("good", ["--map", "T1"], "Tiny", "3d_fullres", "--map wants TARGET=SOURCE"),
        ("good", ["--map", "T1=CT"], "Tiny", "3d_fullres", "--map T1=CT"),
    ],
)
def test_bad_input_is_one_message_and_no_file(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    options: list[str],
    plans: str,
    configuration: str,
    message: str,
) -> None:
    source, out = folder / "source.pth", folder / "out.pth"
    bad_source(kind, source)
    before = {path.name for path in folder.iterdir()}
    assert export(source, "-o", out, *options, plans=plans, configuration=configuration) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("nnssl_plugin export: error:") == 1
    assert {path.name for path in folder.iterdir()} == before


def test_output_is_checked_before_any_work(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder / "source.pth"
    saved = write_checkpoint(source, ["T1", "T1c", "T2", "FLAIR"])
    for options, message in (
        ([], "-o FILE is needed"),
        (["-o", folder / "none" / "w.pth"], "existing folder"),
        (["-o", source], "exists"),
        (["-o", source, "--overwrite"], "exists"),
    ):
        assert export(source, *options) == 2
        assert message in capsys.readouterr().err
    assert torch.equal(torch.load(source, weights_only=True)["network_weights"][STEM[False]], saved[STEM[False]])
    out = folder / "out.pth"
    out.write_text("old")
    assert export(source, "-o", out) == 2
    assert out.read_text(encoding="utf-8") == "old"
    assert export(source, "-o", out, "--overwrite") == 0
    assert torch.load(out, weights_only=True)["network_weights"]


# ---------------------------------------------------------------- nnssl


def write_nnssl(file: Path, prefix: str = "", **changes: Any) -> dict[str, torch.Tensor]:
    """A checkpoint of nnssl from its documented keys: a residual encoder, one input channel."""
    weights = dict(build(residual=True, channels=1, seed=5).state_dict())
    plan = {
        "architecture_plans": {"arch_class_name": "ResEncL", "arch_kwargs": None, "arch_kwargs_requiring_import": None},
        "pretrain_plan": {
            "dataset_name": "Dataset745_OpenMind",
            "configurations": {"onemmiso": {"patch_size": [16] * 3}},
        },
        "pretrain_num_input_channels": 1,
        "recommended_downstream_patchsize": [16, 16, 16],
        "key_to_encoder": f"{prefix}encoder.stages",
        "key_to_stem": f"{prefix}encoder.stem",
        "keys_to_in_proj": [f"{prefix}encoder.stem.convs.0.conv", f"{prefix}encoder.stem.convs.0.all_modules.0"],
        "key_to_lpe": None,
        **changes,
    }
    citations = [{"type": "Pretraining", "name": "MAE", "apa_citations": ["He et al. 2022"]}]
    stored = {f"{prefix}{key}": value for key, value in weights.items() if not prefix or key.startswith("encoder.")}
    torch.save({"network_weights": stored, "nnssl_adaptation_plan": plan, "citations": citations}, file)
    return weights


def import_nnssl(source: Path, out: Path, plans: str = "Residual") -> int:
    return main(["import-nnssl", str(source), "--to-dataset", NAME, "-p", plans, "-c", "3d_fullres", "-o", str(out)])


# What the plan of MIC-DKFZ/nnFoundationCNN holds besides: nothing was resampled, so there is no spacing.
NNFOUNDATION = {
    "pretrain_plan": {
        "configurations": {
            "noresample": {
                "spacing": None,
                "spacing_style": "noresample",
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False],
                "patch_size": [192] * 3,
            }
        }
    },
    "recommended_downstream_patchsize": [192] * 3,
}


@pytest.mark.parametrize(("prefix", "plan"), [("", {}), ("online_", {}), ("", NNFOUNDATION)])
def test_nnssl_weights_go_to_four_channels(
    folder: Path, prefix: str, plan: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = folder / "nnssl.pth", folder / "out.pth"
    saved = write_nnssl(source, prefix, **plan)
    assert import_nnssl(source, out) == 0
    content = torch.load(out, weights_only=True)
    for key, value in content["network_weights"].items():
        if key.startswith("encoder.") and value.shape == saved[key].shape:
            assert torch.equal(value, saved[key]), key
    stem = content["network_weights"][STEM[True]]
    assert torch.equal(stem, adapt_input(saved[STEM[True]], [0, 0, 0, 0]))
    # Four alike channels that correlate by 0.5 vary by sqrt(4 + 12 / 2) as much as one.
    assert torch.allclose(stem, saved[STEM[True]].expand_as(stem) / 10**0.5)
    decoder = content["nnssl_plugin"]["provenance"]["transferred"]["decoder"]
    assert decoder == (0.0 if prefix else 1.0), "an encoder alone is handed over as such"
    capsys.readouterr()
    for file in (source, out):
        assert main(["show", str(file)]) == 0
        assert "He et al. 2022" in capsys.readouterr().out


def test_what_is_no_nnssl_checkpoint(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = folder / "source.pth", folder / "out.pth"
    write_checkpoint(source, ["T1"], residual=True)
    assert import_nnssl(source, out) == 2
    assert "is no checkpoint of nnssl: it has no nnssl_adaptation_plan" in capsys.readouterr().err
    write_nnssl(source, key_to_encoder="eva", key_to_stem="down_projection")
    assert import_nnssl(source, out) == 2
    assert "no weights under 'eva'" in capsys.readouterr().err
    write_nnssl(source)
    assert import_nnssl(source, out, plans="Tiny") == 2
    assert "holds a residual-encoder 3d U-Net" in capsys.readouterr().err
    assert not out.exists()
    assert export(source, "-o", out, plans="Residual") == 2
    assert "import-nnssl" in capsys.readouterr().err


@pytest.mark.parametrize("residual", [False, True])
def test_our_files_are_read_as_nnunets_main_branch_reads_nnssls(folder: Path, residual: bool) -> None:
    """The documented contract: build what the plan names, fill encoder and stem from under its keys, strictly."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    source, out = folder / "source.pth", folder / "out.pth"
    write_checkpoint(source, ["T1", "T1c", "T2", "FLAIR"], residual=residual)
    assert export(source, "-o", out, plans="Residual" if residual else "Tiny") == 0
    content = torch.load(out, weights_only=True)
    plan = content["nnssl_adaptation_plan"]
    kind = plan["architecture_plans"]
    network = get_network_from_plans(
        kind["arch_class_name"], kind["arch_kwargs"], kind["arch_kwargs_requiring_import"], 4, 2, deep_supervision=False
    )
    for part in (plan["key_to_encoder"], plan["key_to_stem"]):
        own = {k.removeprefix(f"{part}."): v for k, v in content["network_weights"].items() if k.startswith(f"{part}.")}
        network.get_submodule(part).load_state_dict(own, strict=True)
    loaded = network.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in content["network_weights"].items() if k.startswith("encoder."))
    assert all(f"{key}.weight" in content["network_weights"] for key in plan["keys_to_in_proj"])
    assert plan["pretrain_num_input_channels"] == 4
    configuration = next(iter(plan["pretrain_plan"]["configurations"].values()))
    assert configuration["patch_size"] == plan["recommended_downstream_patchsize"] == [16, 16, 16]
    assert configuration["spacing"] == [1.0, 1.0, 1.0]
