from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.objectives.pair_losses import mean_of_pairs
from nnssl_plugin.objectives.placed_tokens import places
from nnssl_plugin.objectives.region_contrast import NAME, RegionContrast, RegionContrastSettings
from nnssl_plugin.objectives.region_encoder import RegionEncoder, selected
from nnssl_plugin.objectives.region_interaction import EMPHASIS, SHARPNESS, Parts, interaction, local_similarity
from nnssl_plugin.objectives.region_selection import foreground_shares, select, selection_metrics
from nnssl_plugin.objectives.report_contrast import ReportContrast, ReportContrastSettings
from nnssl_plugin.settings.presets import preset_assignments
from nnssl_plugin.settings.settings import Settings, settings_with
from nnssl_plugin.text.text_encoder import TextSettings
from tests.batches import make_batch, network_shape, pair, side_data
from tests.reports import text


def objective(axes: int = 2, channels: int = 3, **settings: Any) -> RegionContrast:
    torch.manual_seed(0)
    settings = {"regions": 3, "text": TextSettings(context=48), **settings}
    return RegionContrast(RegionContrastSettings(1.0, **settings), network_shape(axes, channels))


def features(axes: int, size: int = 6, seed: int = 3) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features([torch.randn(size, 16, *[4] * axes, generator=generator)])


def parts(count: int, length: int, seed: int) -> Parts:
    generator = torch.Generator().manual_seed(seed)
    vectors = F.normalize(torch.randn(count, length, 8, generator=generator), dim=2)
    weights = (torch.rand(count, length, generator=generator) > 0.3).float()
    weights[:, 0] = 1
    return Parts(F.normalize(vectors.sum(dim=1), dim=1), vectors, weights)


# ---------------------------------------------------------------- selection


def test_the_highest_foreground_scores_are_selected() -> None:
    scores = torch.tensor([[5.0, 1, 4, 3, 2], [5, 4, 3, 2, 1], [1, 2, 3, 4, 5]])
    foreground = torch.tensor([[0.4, 1, 0.5, 1, 1], [0, 0, 0, 0.6, 0], [0, 0.1, 0.2, 0, 0]])
    made = select(scores, foreground, 2, learned=True)
    # Fewer foreground positions than k, and none at all.
    assert made.chosen.int().tolist() == [[0, 0, 1, 1, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]
    torch.testing.assert_close(made.weights, made.chosen.float())
    torch.testing.assert_close(made.probability[0], torch.tensor([-torch.inf, 1, 4, 3, 2]).softmax(dim=0))
    assert selected(made, 2).tolist() == [[2, 3], [3, 0], [3, 4]]
    metrics = selection_metrics(made)
    assert metrics["foreground"] == pytest.approx((0.5 + 1 + 0.6) / 5)
    assert metrics["foreground_chance"] == pytest.approx((3.9 + 0.6 + 0.3) / 15)


def test_scores_of_positions_that_are_out_learn_too() -> None:
    scores = torch.tensor([[1.0, 0, 0, -1]], requires_grad=True)
    made = select(scores, torch.tensor([[1.0, 1, 1, 0]]), 1, learned=True)
    worth = torch.tensor([[0.0, 0, 2, 7]])
    (gradient,) = torch.autograd.grad((made.weights * worth).sum(), scores)
    p = torch.tensor([[1.0, 0, 0]]).softmax(dim=1)[0]
    # Of k · softmax, by hand: position 2 is worth most and out.
    torch.testing.assert_close(gradient[0, :3], 2 * p[2] * (torch.tensor([0.0, 0, 1]) - p))
    assert gradient[0, 3] == 0


def test_entropy_is_1_where_nothing_is_preferred_and_0_where_one_position_is() -> None:
    foreground = torch.ones(1, 4)
    assert selection_metrics(select(torch.zeros(1, 4), foreground, 2, True))["entropy"] == pytest.approx(1)
    assert selection_metrics(select(torch.tensor([[99.0, 0, 0, 0]]), foreground, 2, True))["entropy"] < 1e-6
    assert selection_metrics(select(torch.rand(1, 4), foreground, 2, False))["entropy"] == pytest.approx(1)
    assert select(torch.zeros(1, 1), torch.zeros(1, 1), 8, True).chosen.all()


@pytest.mark.parametrize("axes", [2, 3])
def test_positions_know_their_foreground_and_place(axes: int) -> None:
    mask = torch.zeros(1, 1, *[8] * axes, dtype=torch.bool)
    mask[..., :4] = True
    mask[..., 4] = True
    shares = foreground_shares(mask, (4,) * axes)
    assert shares[0, :4].tolist() == [1, 1, 0.5, 0]
    assert places((2, 4)[:axes] if axes == 2 else (1, 2, 4), torch.device("cpu"))[1, -2:].tolist() == [-0.5, -0.25]
    encoder = RegionEncoder(16, axes, 8, 3, learned=True)
    made, selection = encoder(features(axes, 2).encoder[0], mask.expand(2, -1, *[-1] * axes))
    assert made.vectors.shape == (2, 3, 8)
    assert (selection.foreground[selection.chosen] >= 0.5).all()
    with pytest.raises(ValueError, match="no noise"):
        RegionEncoder(16, axes, 8, 3, learned=False)(features(axes, 2).encoder[0], mask)


# -------------------------------------------------------------- interaction


def reference(queries: Parts, keys: Parts, n: int, m: int) -> torch.Tensor:
    """`interaction` of one pair, in loops."""
    total, count = torch.tensor(0.0), 0
    for query, there in zip(queries.vectors[m], queries.weights[m], strict=True):
        if there:
            own = [key for key, weight in zip(keys.vectors[n], keys.weights[n], strict=True) if weight]
            share = torch.stack([SHARPNESS * query @ key for key in own]).softmax(dim=0)
            seen = sum(one * key for one, key in zip(share, own, strict=True))
            total, count = total + (EMPHASIS * F.cosine_similarity(seen, query, dim=0)).exp(), count + 1
    return (total / count).log() / EMPHASIS


def test_interaction_is_that_of_the_definition() -> None:
    regions, words = parts(3, 4, 0), parts(2, 5, 1)
    for n in range(3):
        for m in range(2):
            torch.testing.assert_close(interaction(words, regions)[n, m], reference(words, regions, n, m))
            both = (reference(words, regions, n, m) + reference(regions, words, m, n)) / 2
            torch.testing.assert_close(local_similarity(regions, words)[n, m], both)
    assert local_similarity(regions, words).abs().max() <= 1


def test_what_is_not_there_changes_nothing() -> None:
    regions, words = parts(3, 4, 0), parts(3, 5, 1)
    before = local_similarity(regions, words)
    for one in (regions, words):
        one.vectors[one.weights == 0] = 1.0
    torch.testing.assert_close(local_similarity(regions, words), before)
    nothing = Parts(words.whole, words.vectors, torch.zeros_like(words.weights))
    assert torch.isfinite(local_similarity(regions, nothing)).all()


# ------------------------------------------------------------ the objective


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("selection", ["learned", "random"])
def test_all_that_is_trained_gets_a_gradient(axes: int, selection: str) -> None:
    task = objective(axes, selection=selection)
    batch, generator = make_batch(axes, 3, size=6), torch.Generator().manual_seed(0)
    views = task.draw_views(batch, generator)
    made = features(axes)
    made.encoder[0].requires_grad_()
    result = task({"image": made}, views, batch)
    result.loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in task.parameters())
    assert made.encoder[0].grad is not None
    assert (task.regions.score is None) == (selection == "random")
    assert ("noise of image" in views.targets) == (selection == "random")
    torch.testing.assert_close(result.loss, result.parts["global_info_nce"] + result.parts["local_info_nce"])


def test_doubles_and_views_of_a_patient_are_no_negatives() -> None:
    task = objective(global_weight=0.5, local_weight=2.0)
    batch = make_batch(2, 3, size=4)
    batch.side_data[NAME] = side_data([text(0), text(0).upper(), text(2), text(3)])
    batch.patient[:] = torch.tensor([0, 1, 2, 2])
    views, made = task.draw_views(batch, torch.Generator()), features(2, 4)
    result = task({"image": made}, views, batch)
    same = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()
    images, _ = task.look(made, batch.foreground, None)
    texts = task.read(views.targets["tokens"], views.targets["there"])
    whole = mean_of_pairs(task.loss.of_similarities(images.whole @ texts.whole.T, same))
    local = mean_of_pairs(task.local_loss.of_similarities(local_similarity(images, texts), same))
    torch.testing.assert_close(result.loss, 0.5 * whole + 2 * local)
    assert result.metrics["retrieval_chance"] == 0.5
    logits = task.logits(images, texts)
    torch.testing.assert_close(logits.argmax(dim=1), task.logits(images, texts).argmax(dim=1))
    expected = (0.5 * images.whole @ texts.whole.T + 2 * local_similarity(images, texts)) / 0.07 / 2.5
    torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("axes", [2, 3])
def test_a_modality_stands_in_for_the_report(axes: int) -> None:
    task = objective(axes, against="modality")
    assert task.text is None
    batch = make_batch(axes, 3, size=4)
    batch.side_data = {}
    batch.present[3] = torch.tensor([True, False, False])
    views = task.draw_views(batch, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(5)
    made = torch.randn(8, 16, *[4] * axes, generator=generator)
    result = task(pair(made), views, batch)
    # The patient without a pair counts neither as one nor as a negative.
    changed = made.clone()
    changed[[3, 7]] *= -1
    torch.testing.assert_close(task(pair(changed), views, batch).loss, result.loss)
    assert result.metrics["retrieval_chance"].item() == pytest.approx(1 / 3)
    noise = (
        objective(axes, against="modality", selection="random")
        .draw_views(batch, torch.Generator().manual_seed(0))
        .targets
    )
    assert not torch.equal(noise["noise of source"], noise["noise of target"])
    with pytest.raises(ValueError, match="no words"):
        task.read(torch.zeros(1, 4).long(), torch.ones(1, 4).bool())


def test_selection_finds_what_tells_images_apart() -> None:
    """One position of sixteen is of the image's kind, the others say nothing; first all count, as in stage one, then two."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    encoder, loss = RegionEncoder(16, 2, 8, 16, learned=True), torch.nn.CosineEmbeddingLoss()
    kinds, texts = torch.eye(16)[10:] * 4, torch.eye(8)[:6]
    optimizer, hits = torch.optim.AdamW(encoder.parameters(), 5e-3), []
    for step in range(120):
        encoder.count = 16 if step < 60 else 2
        kind, place = torch.randint(6, (12,), generator=generator), torch.randint(16, (12,), generator=generator)
        maps = torch.randn(12, 16, 16, generator=generator)
        maps[:, 10:] = 0
        maps[torch.arange(12), :, place] = kinds[kind]
        made, selection = encoder(maps.unflatten(2, (4, 4)), torch.ones(12, 1, 8, 8))
        optimizer.zero_grad()
        loss(made.whole, texts[kind], torch.ones(12)).backward()
        optimizer.step()
        hits.append(selection.chosen[torch.arange(12), place].float().mean().item())
    # Chance is 1 in 8.
    assert sum(hits[-20:]) / 20 > 0.6


# ---------------------------------------------------------- settings, stages


def test_settings_that_cannot_be() -> None:
    for settings, message in (
        ({"global_weight": 0.0, "local_weight": 0.0}, "both 0"),
        ({"against": "modality", "stage_one": "x.pth"}, "has no text"),
        ({"stage_one": "nothing.pth"}, "no file nothing.pth"),
        ({"text": TextSettings(model="nobody/nothing")}, "no usable text model|needs the library"),
    ):
        with pytest.raises(InputError, match=message):
            RegionContrast.check_settings(RegionContrastSettings(1.0, **settings), 2, 3)


def test_stage_two_goes_on_with_the_heads_of_stage_one(tmp_path: Path) -> None:
    file, words = tmp_path / "one.pth", TextSettings(context=48)
    torch.manual_seed(1)
    first = ReportContrast(ReportContrastSettings(1.0, text=words), network_shape(2, 3))
    first.text.learn([text(number) for number in range(6)])

    def save(stage: int, prefix: str = "report_contrast") -> None:
        heads = {f"{prefix}.{key}": value for key, value in first.state_dict().items()}
        init_args = {"nnssl_plugin": {"objectives": {"report_contrast": {"stage": stage}}}}
        torch.save({"network_weights": {}, "init_args": init_args, "nnssl_plugin": {"heads": heads}}, file)

    save(-1)
    second = objective(stage_one=str(file), regions=16)
    # All 16 positions of a map make the vector that stage one has.
    batch, made = make_batch(2, 3), features(2)
    torch.testing.assert_close(second.look(made, batch.foreground, None)[0].whole, first.look(made).whole)
    tokens = first.text.tokenize([text(1)])
    torch.testing.assert_close(second.read(*tokens).whole, first.read(*tokens).whole)
    assert second.text.vocabulary.to_str() == first.text.vocabulary.to_str()  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"give text.\* and embedding_size"):
        objective(stage_one=str(file), embedding_size=32)
    with pytest.raises(InputError, match="encoder stage -1, this run at -2"):
        RegionContrast.check_settings(RegionContrastSettings(1.0, stage_one=str(file), stage=-2), 1, 3)
    save(-1, "simclr")
    with pytest.raises(InputError, match="holds no head of report_contrast"):
        objective(stage_one=str(file))


def test_the_preset_goes_slowly_and_does_not_mirror() -> None:
    settings = settings_with(Settings(), preset_assignments("regions")).pretraining
    assert settings.objectives.region_contrast.weight == 1
    assert settings.objectives.report_contrast.weight == 0
    assert not settings.mirroring
    assert settings.initial_lr == pytest.approx(Settings().pretraining.initial_lr / 10)
