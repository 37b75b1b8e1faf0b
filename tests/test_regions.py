"""Regions of a case: where they lie, what words look at them, and both stages through the real commands."""

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunetv2.run.run_training import run_training
from PIL import Image

from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.export.target_network import find_target_network
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.region_interaction import Parts
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.regions.case_regions import boxes_of, painted
from nnssl_plugin.regions.explain_case import outlines_of
from nnssl_plugin.regions.page import COLOURS
from nnssl_plugin.regions.readings import of_sentences, of_words
from nnssl_plugin.text.embedded_encoder import EmbeddedTextEncoder
from nnssl_plugin.text.pretrained_encoder import PretrainedTextEncoder
from nnssl_plugin.text.words import words_of
from nnssl_plugin.zero_shot.image_report_model import Tiles, load_image_report_model
from tests.reports import described, text, tiny_bert
from tests.synthetic import BACKGROUND, NAME, brain, make_plans, write_dataset


@pytest.mark.parametrize("model", [False, True])
def test_words_know_their_tokens(model: bool, tmp_path: Path) -> None:
    said = "Frontal view. A round opacity; no\neffusion , left."
    if model:
        pytest.importorskip("transformers")
        encoder = PretrainedTextEncoder(str(tiny_bert(tmp_path)), 48, True)
        tokens = encoder.tokenizer(said)["input_ids"]
    else:
        encoder = EmbeddedTextEncoder(400, 48)
        encoder.learn([text(number) for number in range(9)])
        tokens = encoder.vocabulary.encode(said).ids
    kept, spans = encoder.spans(said)
    assert kept == said
    assert len(spans) == len(tokens)
    words = words_of(kept, spans)
    assert [word.text for word in words] == said.split()
    assert [word.sentence for word in words] == [0, 0, 1, 1, 1, 2, 3, 3, 3]
    assert [word.says_something for word in words].count(False) == 1
    # Every token but the model's marks is of one word, in order.
    found = [number for word in words for number in word.tokens]
    assert found == list(range(len(tokens)))[1 if model else 0 : -1 if model else None]
    each = np.eye(len(tokens))[:, ::-1]
    sentences, of_word = of_sentences(each, words), of_words(each, words)
    assert sentences[1].title == "A round opacity;"
    assert [one.file for one in of_word][:2] == ["word_001_Frontal", "word_002_view"]
    for word, reading in zip(words, of_word, strict=True):
        assert np.flatnonzero(reading.attention[::-1]).tolist() == list(word.tokens)
        assert reading.attention.sum() == pytest.approx(1)


def test_a_text_that_does_not_fit_is_cut() -> None:
    encoder = EmbeddedTextEncoder(300, 24)
    assert encoder.spans("Short one. " + text(0) * 9)[0] == "Short one."
    assert len(encoder.spans("x" * 99)[1]) == 24


def test_positions_lie_where_their_voxels_are() -> None:
    none = Parts(torch.zeros(1), torch.zeros(1), torch.zeros(1))
    flat = boxes_of(Tiles(np.array([[3, -2, 10]]), none, None, (2, 3)), [4, 7])
    assert flat.shape == (1, 6, 3, 2)
    assert flat[0, 0].tolist() == [[3, 4], [-2, 0], [10, 12]]
    assert flat[0, 5].tolist() == [[3, 4], [0, 2], [14, 17]]
    deep = boxes_of(Tiles(np.array([[0, 0, 0], [4, 0, 0]]), none, None, (2, 1, 1)), [4, 4, 4])
    assert deep[1, 1].tolist() == [[6, 8], [0, 4], [0, 4]]
    # Outside of the image nothing is painted; where boxes overlap, the mean.
    volume = painted(
        np.array([5.0, 1, 3]), np.array([flat[0, 0], [[3, 4], [0, 1], [0, 2]], [[3, 4], [0, 1], [1, 3]]]), (4, 2, 4)
    )
    assert volume[3, 0].tolist() == [1, 2, 3, 0]
    assert volume.sum() == 6


def test_outlines_are_of_the_slice_that_is_shown() -> None:
    # Regions of slice 0 have more attention than any of slice 1.
    boxes = np.array(
        [[[number // 20, number // 20 + 1], [0, 2], [number % 20, number % 20 + 1]] for number in range(23)]
    )
    attention = 1 - np.arange(23) / 23
    found = outlines_of(lambda volume: volume, attention, boxes, (2, 2, 20), 1)
    assert list(found) == [20, 21, 22]
    assert np.argwhere(found[21]).tolist() == [[0, 1], [1, 1]]
    assert list(outlines_of(lambda volume: volume, attention, boxes, (2, 2, 20), 0)) == list(range(len(COLOURS)))


@pytest.fixture
def folders(nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    torch.set_num_threads(1)
    images = nnunet_folders / "imagesTr"
    images.mkdir()
    for channel in range(2):
        image = sitk.GetImageFromArray(brain(100, 2)[channel, :7, :22] - BACKGROUND)
        image.SetSpacing((1.0, 1.0, 3.0))
        sitk.WriteImage(image, str(images / f"new_000{channel}.nii.gz"))
    (nnunet_folders / "reportsTr").mkdir()
    return nnunet_folders


def pretrain(folder: Path, plans: str, objective: str, start: Path | None = None, **settings: object) -> Path:
    """A short run of one objective; its last checkpoint."""
    objectives = {name: {"weight": 0.0} for name in OBJECTIVES}
    objectives[objective] = {"weight": 1.0, **settings}
    tiny = {"epochs": 1, "iterations_per_epoch": 2, "validation_iterations": 1, "seed": 1, "objectives": objectives}
    base = folder / "nnUNet_preprocessed" / NAME
    made = make_plans({"pretraining": tiny}, channels=2)
    if not base.exists():
        write_dataset(
            folder, made, cases=5, channels=2, **described(folder / "said", [f"case{i:02d}" for i in range(5)])
        )
    (base / f"{plans}.json").write_text(json.dumps({**made, "plans_name": plans}))
    run_training(
        NAME,
        "2d",
        "all",
        "SSLPretrainTrainer",
        plans,
        pretrained_weights=start and str(start),
        device=torch.device("cpu"),
    )
    return folder / "nnUNet_results" / NAME / f"SSLPretrainTrainer__{plans}__2d" / "fold_all" / "checkpoint_final.pth"


def test_both_stages_and_the_regions_of_a_case_through_the_commands(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = pretrain(folders, "One", "report_contrast")
    second = pretrain(folders, "Two", "region_contrast", first, stage_one=str(first), regions=2)
    log = next(second.parent.glob("training_log*.txt")).read_text(encoding="utf-8")
    assert "region_contrast goes on with text encoder, projections and temperature" in log
    # An image is read by patches as large as those trained on, not by the plans'.
    size = load_image_report_model(second, find_target_network(NAME, "Two", "2d"), torch.device("cpu")).tile_size
    assert f"patches of {size[0]} x {size[1]} voxels of different patients" in log
    assert size != (32, 32)
    saved = [torch.load(file, weights_only=True) for file in (first, second)]
    assert (
        saved[1]["nnssl_plugin"]["provenance"]["initial_weights"]
        == saved[0]["nnssl_plugin"]["provenance"]["encoder_sha256"]
    )
    case, out = folders / "imagesTr" / "new", folders / "out"
    words = ["regions", str(second), "-d", NAME, "-p", "Two", "-c", "2d", "-device", "cpu", "-o", str(out)]
    assert main([*words, "-i", str(case)]) == 2
    assert "has no report: there is no" in capsys.readouterr().err
    report = folders / "reportsTr" / "new.txt"
    for content, message in ((b"", "is empty"), (b"\xff\xfe", "not UTF-8")):
        report.write_bytes(content)
        assert main([*words, "-i", str(case)]) == 2
        assert message in capsys.readouterr().err
    assert not out.exists()
    report.write_text(text(4).replace("No effusion.", "No \ufffd effusion."), encoding="utf-8")
    assert main([*words, "-i", str(case.with_name("other")), "--report", str(report)]) == 2
    assert "holds no case other" in capsys.readouterr().err
    assert main([*words, "-i", f"{case}_0000.nii.gz"]) == 0
    assert "1 U+FFFD" in capsys.readouterr().out
    page = (out / "regions.html").read_text(encoding="utf-8")
    assert "slice " in page
    assert "opacity" in page
    reference = sitk.ReadImage(f"{case}_0000.nii.gz")
    names = sorted(file.name for file in out.glob("*.nii.gz"))
    assert {"selected.nii.gz", "preference.nii.gz", "sentence_01.nii.gz"} <= set(names)
    assert sum(name.startswith("word_") for name in names) == 15
    for name in names:
        image = sitk.ReadImage(str(out / name))
        assert image.GetSize() == reference.GetSize()
        assert image.GetSpacing() == reference.GetSpacing()
        assert sitk.GetArrayFromImage(image).max() > 0
    with Image.open(out / "sentence_02.png") as picture:
        assert picture.size == reference.GetSize()[:2]
    # Zero-shot takes either stage; regions are of stage two alone, and files are no folders.
    findings = folders / "findings.yaml"
    findings.write_text("opacity:\n  positive: [round opacity]\n  negative: [no opacity]\n")
    for file, plans in ((first, "One"), (second, "Two")):
        scores = [str(file), "-d", NAME, "-p", plans, "-c", "2d", "-device", "cpu", "-i", str(case.parent)]
        assert main(["zeroshot", *scores, "--findings", str(findings), "-o", str(folders / f"{plans}.csv")]) == 0
    assert main([*words, "-i", str(case)]) == 2
    assert "the folder is not empty" in capsys.readouterr().err
    words[1], words[5], words[-1] = str(first), "One", str(folders / "another")
    assert main([*words, "-i", str(case)]) == 2
    assert "is of stage one, which selects no regions" in capsys.readouterr().err
    assert not (folders / "another").exists()
    with pytest.raises(InputError, match="the network has fresh weights: start again with -pretrained_weights"):
        pretrain(folders, "Forgotten", "region_contrast", stage_one=str(first), regions=2)
    assert main([*words[:-1], str(report), "-i", str(case)]) == 2
    assert "a folder is expected" in capsys.readouterr().err


@pytest.mark.slow
def test_modalities_instead_of_reports(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = pretrain(folders, "Two", "region_contrast", against="modality", regions=2, selection="random")
    words = [
        "regions",
        str(file),
        "-d",
        NAME,
        "-p",
        "Two",
        "-c",
        "2d",
        "-device",
        "cpu",
        "-i",
        str(folders / "imagesTr" / "new"),
    ]
    assert main([*words, "-o", str(folders / "out")]) == 0
    names = {one.name for one in (folders / "out").glob("*.nii.gz")}
    assert {
        f"{kind}{m}{end}.nii.gz"
        for m in ("T1", "T1c")
        for kind, end in (("modality_", ""), ("", "_selected"), ("", "_preference"))
    } == names
    assert "T1c" in (folders / "out" / "regions.html").read_text(encoding="utf-8")
    assert main([*words, "-o", str(folders / "new"), "--report", "x.txt"]) == 2
    assert "reads no report" in capsys.readouterr().err
    findings = folders / "findings.yaml"
    findings.write_text("a:\n  positive: [b]\n  negative: [c]\n")
    words[0], words[-1] = "zeroshot", str(folders / "imagesTr")
    assert main([*words, "--findings", str(findings), "-o", str(folders / "x.csv")]) == 2
    assert "knows no words" in capsys.readouterr().err
