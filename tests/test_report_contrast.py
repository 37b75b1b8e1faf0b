import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint, run_training

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import KEY
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.objectives.pair_losses import mean_of_pairs
from nnssl_plugin.objectives.report_contrast import NAME as OBJECTIVE
from nnssl_plugin.objectives.report_contrast import ReportContrast, ReportContrastSettings
from nnssl_plugin.objectives.report_info_nce import ReportInfoNCE
from nnssl_plugin.objectives.reports import BYTES, side_data_of, texts_of
from nnssl_plugin.settings.presets import preset_assignments
from nnssl_plugin.settings.settings import Settings, settings_with
from nnssl_plugin.text.text_encoder import TextSettings
from tests.batches import make_batch, network_shape, side_data
from tests.reports import described, text, tiny_bert
from tests.synthetic import NAME, make_plans, write_dataset


def objective(axes: int = 2, **text_settings: Any) -> ReportContrast:
    torch.manual_seed(0)
    return ReportContrast(ReportContrastSettings(1.0, text=TextSettings(**text_settings)), network_shape(axes, 3))


def unit(rows: int, width: int = 8, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)), dim=1)


# ---------------------------------------------------------------- the loss


def test_the_loss_is_that_of_clip_where_all_are_different() -> None:
    images, texts = unit(5), unit(5, seed=1)
    loss = ReportInfoNCE(0.07)
    logits = images @ texts.T / 0.07
    index = torch.arange(5)
    clip = (F.cross_entropy(logits, index) + F.cross_entropy(logits.T, index)) / 2
    torch.testing.assert_close(mean_of_pairs(loss(images, texts, torch.eye(5, dtype=torch.bool))), clip)


def test_texts_of_one_patient_are_never_negatives() -> None:
    images, texts = unit(4), unit(4, seed=1)
    same = torch.eye(4, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    loss = ReportInfoNCE()
    images.requires_grad_()
    texts.requires_grad_()
    pairs = loss(images, texts, same)
    assert pairs.counted.all()
    # Image 0 against the texts 0, 2 and 3; text 0 against the images 0, 2 and 3.
    of_image = (images[:1] @ texts[[0, 2, 3]].T / 0.07).log_softmax(dim=1)
    of_text = (texts[:1] @ images[[0, 2, 3]].T / 0.07).log_softmax(dim=1)
    torch.testing.assert_close(pairs.values[0], -of_image[0, 0])
    torch.testing.assert_close(pairs.values[4], -of_text[0, 0])
    assert (pairs.first[4], pairs.second[4]) == (4, 0)
    (gradient,) = torch.autograd.grad(pairs.values[0], texts)
    assert (gradient[1] == 0).all()
    assert (gradient[[0, 2, 3]] != 0).any(dim=1).all()


def test_rows_without_negatives_do_not_count_and_the_temperature_has_a_limit() -> None:
    loss = ReportInfoNCE()
    pairs = loss(unit(2), unit(2, seed=1), torch.ones(2, 2, dtype=torch.bool))
    assert not pairs.counted.any()
    assert mean_of_pairs(pairs) == 0
    assert loss.scale.item() == pytest.approx(1 / 0.07)
    with torch.no_grad():
        loss.log_scale.fill_(9)
    assert loss.scale.item() == pytest.approx(100)
    # From there it can come back.
    loss(unit(4), unit(4, seed=1), torch.eye(4, dtype=torch.bool)).values.sum().backward()
    assert loss.log_scale.grad != 0


# ------------------------------------------------------------ the objective


def test_reports_come_through_the_batch_unchanged() -> None:
    said = ["Überblähung, 右肺.", "x" * (BYTES + 9), "é" * BYTES]
    rows = side_data(said)
    back = texts_of(rows["text"])
    assert back == [said[0], "x" * BYTES, "é" * (BYTES // 2)]
    assert torch.equal(side_data_of("A  B\n")["identity"], side_data_of("a b")["identity"])
    assert len(set(rows["identity"].tolist())) == 3


def test_equal_texts_and_groups_meet_in_the_objective() -> None:
    """Equal texts of two patients, and two texts of one patient, change the loss as excluded pairs do."""
    task = objective()
    texts = [text(0), text(0).upper(), text(2), text(3)]
    batch = make_batch(2, 3, size=4)
    batch.side_data[OBJECTIVE] = side_data(texts)
    batch.patient[:] = torch.tensor([0, 1, 2, 2])
    views = task.draw_views(batch, torch.Generator())
    features = {"image": Features([torch.randn(4, 16, 4, 4)])}
    result = task(features, views, batch)
    same = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()
    images = F.normalize(task.projection(task.tokens(features["image"].encoder[-1])).mean(dim=1), dim=1)
    expected = mean_of_pairs(task.loss(images, task.read(**views.targets).whole, same))
    torch.testing.assert_close(result.loss, expected)
    assert result.metrics["retrieval_chance"] == 0.5


@pytest.mark.parametrize("model", [False, True])
def test_it_learns_whose_report_an_image_has(model: bool, tmp_path: Path) -> None:
    more: dict[str, Any] = {}
    if model:
        pytest.importorskip("transformers")
        more = {"model": str(tiny_bert(tmp_path / "bert")), "context": 48}
    task = objective(**more)
    batch = make_batch(2, 3, size=6)
    generator = torch.Generator().manual_seed(3)
    features = {"image": Features([torch.randn(6, 16, 4, 4, generator=generator) + torch.randn(6, 16, 1, 1)])}
    optimizer = torch.optim.AdamW(task.parameters(), 3e-3 if model else 1e-3)
    task.text.learn([text(number) for number in range(6)])
    views = task.draw_views(batch, generator)
    before = task.eval()(features, views, batch)
    for _ in range(150 if model else 40):
        optimizer.zero_grad()
        task.train()(features, views, batch).loss.backward()
        optimizer.step()
    after = task.eval()(features, views, batch)
    assert after.loss < before.loss / 4
    assert after.metrics["retrieval"] == after.metrics["image_retrieval"] == 1
    assert after.metrics["retrieval_chance"].item() == pytest.approx(1 / 6)
    assert after.metrics["temperature"] != before.metrics["temperature"]


def records(folder: Path, texts: list[str | None]) -> list[CaseRecord]:
    made = []
    for number, said in enumerate(texts):
        file = folder / f"{number}.txt"
        file.write_text(said or "", encoding="utf-8")
        empty = [np.zeros(0)] * 2
        files = {} if said is None else {"report": file}
        made.append(CaseRecord(f"c{number}", f"p{number}", file, *empty, 1, *[np.zeros(0)] * 4, files=files))
    return made


def test_reports_are_looked_at_before_training(tmp_path: Path) -> None:
    task = objective(context=16, vocabulary=300)
    said: list[str] = []
    task.prepare(records(tmp_path, ["No effusion.", "NO  effusion.", text(1) * 3]), said.append)
    assert said[0] == "3 reports, 2 different ones"
    assert said[1].startswith("WARNING: 1 reports are longer than 16 tokens and cut behind a sentence (c2)")
    assert "report_contrast.text.context is more" in said[1]
    assert task.text.learned
    for texts, message in (
        ([text(0), None, text(1)], r"1 of 3 cases have no report \(c1\); .*convert reports"),
        ([text(0), ""], "case c1: .*is empty"),
        ([text(0), text(0).lower()], "all 2 reports say the same"),
    ):
        with pytest.raises(InputError, match=message):
            objective().prepare(records(tmp_path, texts), said.append)


def test_an_unknown_text_model_is_refused_before_anything_is_made() -> None:
    pytest.importorskip("transformers")
    settings = ReportContrastSettings(text=TextSettings(model="nobody/nothing"))
    with pytest.raises(InputError, match="no usable text model"):
        ReportContrast.check_settings(settings, 1, 3)


def test_the_preset_does_not_mirror() -> None:
    settings = settings_with(Settings(), preset_assignments("reports")).pretraining
    assert settings.objectives.report_contrast.weight == 1
    assert not settings.mirroring


# --------------------------------------------------- in the real nnU-Net


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_trains_resumes_and_hands_over(
    nnunet_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: str
) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    tiny = ["epochs=2", "iterations_per_epoch=2", "validation_iterations=2", "save_every=1", "seed=3"]
    assignments = [*preset_assignments("reports"), *(f"pretraining.{one}" for one in tiny)]
    plans = make_plans(settings_with(Settings(), assignments).to_dict())
    cases = [f"case{i:02d}" for i in range(6)]
    write_dataset(nnunet_folders, plans, **described(tmp_path / "reports", cases))
    cpu = torch.device("cpu")

    def trainer() -> Any:
        return get_trainer_from_args(NAME, configuration, 0, "SSLPretrainTrainer", "Tiny", device=cpu)

    run_training(NAME, configuration, 0, "SSLPretrainTrainer", "Tiny", device=cpu)
    fold = nnunet_folders / "nnUNet_results" / NAME / f"SSLPretrainTrainer__Tiny__{configuration}" / "fold_0"
    final = fold / "checkpoint_final.pth"
    saved = torch.load(final, map_location="cpu", weights_only=True)
    assert np.isfinite(saved["logging"]["train_losses"]).all()
    assert str(tmp_path).encode() not in final.read_bytes(), "no path of a report"
    assert (fold / "validation" / "report.html").is_file()
    assert "4 reports, 4 different ones" in next(fold.glob("training_log*.txt")).read_text(encoding="utf-8")
    stock = get_trainer_from_args(NAME, configuration, 0, "nnUNetTrainer", "Tiny", device=cpu)
    maybe_load_checkpoint(stock, False, False, str(final))
    assert set(stock.network.state_dict()) == set(saved["network_weights"])
    # The vocabulary comes with the weights and is not learned again; cases of two data sets may be called alike.
    resumed = trainer()
    resumed.load_checkpoint(str(final))
    encoder = resumed.step.network.objectives[OBJECTIVE].text
    vocabulary = encoder.vocabulary.to_str()
    assert encoder.learned
    resumed.step.prepare([replace(record, case="x") for record in resumed.cohort[:2]], print)
    assert encoder.vocabulary.to_str() == vocabulary
    # A case without a report stops the run before it begins.
    file = nnunet_folders / "nnUNet_preprocessed" / NAME / "dataset.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    del description[KEY]["cases"]["case01"]["files"]
    file.write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"1 of 4 cases have no report \(case01\)"):
        run_training(NAME, configuration, 0, "SSLPretrainTrainer", "Tiny", device=cpu)
    assert torch.load(final, map_location="cpu", weights_only=True)["current_epoch"] == 2
