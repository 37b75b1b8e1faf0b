import pytest
import torch
from matplotlib.figure import Figure

from nnssl_plugin.measures.registry import MEASURES
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.plots.example import Example
from nnssl_plugin.plots.registry import PLOTS, caption_of
from nnssl_plugin.pretraining.optimizer import adamw
from nnssl_plugin.pretraining.step import PretrainingStep
from tests.batches import NAMES, make_batch
from tests.pretraining_networks import stock_network, with_objectives


def examples(axes: int, names: list[str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Example]:
    """What the objectives make of a batch in mixed precision, as on a GPU."""
    network = with_objectives(stock_network(axes), axes, **{name: {} for name in names})
    step = PretrainingStep(network, adamw(network.parameters(), 1e-3, 0), torch.device("cpu"))
    monkeypatch.setattr(step, "mixed_precision", lambda: torch.autocast("cpu", torch.bfloat16))
    batch = make_batch(axes, 4)
    with torch.no_grad():
        _, views, features = step.look({"plans": batch, "patients": batch})
    return {name: Example(network.objectives[name], features[name], views[name], batch) for name in names}


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_draws_what_was_measured(name: str, axes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert name in OBJECTIVES
    assert caption_of(name).endswith(".")
    with torch.no_grad():
        figure = PLOTS[name](examples(axes, [name], monkeypatch)[name])
    assert isinstance(figure, Figure)
    assert sum(len(axis.images) for axis in figure.axes) >= 1


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_takes_what_was_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = examples(2, [name], monkeypatch)[name]
    measure = MEASURES[name](one.objective)
    measure.update(one.features, one.views, one.batch)
    assert all(isinstance(value, float) for value in measure.compute().values())


def test_restored_modalities_stand_beside_the_true_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    one = examples(2, ["restoration"], monkeypatch)["restoration"]
    with torch.no_grad():
        axes = PLOTS["restoration"](one).axes
    restored = one.objective.restored(one.features).detach()
    assert [axis.get_title() for axis in axes[:3]] == [f"{NAMES[0]}, {what}" for what in ("shown", "restored", "true")]
    assert len(axes) == 4 * 2 * 3
    for row in range(4):
        for patch in range(2):
            shown, made, true = (axis.images[0].get_array() for axis in axes[row * 6 + patch * 3 :][:3])
            assert torch.equal(torch.tensor(shown.data), one.views.images["partial"][patch, row])
            assert torch.equal(torch.tensor(made.data), restored[patch, row])
            assert torch.equal(torch.tensor(true.data), one.batch.images["clean"][patch, row])


def test_patients_stand_on_the_diagonal(monkeypatch: pytest.MonkeyPatch) -> None:
    one = examples(2, ["contrastive"], monkeypatch)["contrastive"]
    # Both views the same: every patch is nearest to itself.
    same = Example(one.objective, dict.fromkeys(("source", "target"), one.features["source"]), one.views, one.batch)
    image = torch.tensor(PLOTS["contrastive"](same).axes[0].images[0].get_array().data)
    assert image.shape == (6, 6)
    torch.testing.assert_close(image.diagonal(), torch.ones(6))
    assert (image <= 1 + 1e-5).all()


def test_titles_of_mosaics_are_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    one = examples(2, ["slem"], monkeypatch)["slem"]
    with torch.no_grad():
        axes = PLOTS["slem"](one).axes
        guess = one.objective.logits(one.features, one.views).argmax(dim=1)
    for axis, true, named in zip(axes, one.views.targets["label"], guess, strict=False):
        words = [" ".join(NAMES[i] for i in one.objective.labels[label].tolist()) for label in (true, named)]
        assert axis.get_title() == f"true {words[0]}\npredicted {words[1]}"
