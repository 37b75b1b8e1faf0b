"""What it takes to add an objective: `tests/rotation.py`, and its name in the registry."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.objectives.simclr import SimCLR, SimCLRSettings
from nnssl_plugin.objectives.supervoxel import SupervoxelSettings
from nnssl_plugin.pretraining.active_objectives import check_objectives, needs_of
from nnssl_plugin.pretraining.make_step import make_step
from nnssl_plugin.pretraining.run import PretrainingRun, pretraining_run
from nnssl_plugin.pretraining.step_budget import step_budget
from nnssl_plugin.settings.settings import Settings
from tests.batches import loaded, make_batch
from tests.pretraining_networks import stock_network
from tests.rotation import Rotation, RotationSettings
from tests.synthetic import make_dataset_json, make_plans


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> PretrainingRun:
    """A run of the new objective alone, on tiny plans of four modalities in 2d."""
    run = pretraining_run(make_plans(), "2d", make_dataset_json(["case00"]), Settings().pretraining)
    monkeypatch.setitem(OBJECTIVES, "rotation", Rotation)
    active = {"rotation": RotationSettings(weight=1.0)}
    needs = needs_of(active)
    return replace(run, active=active, needs=needs, budget=step_budget(run.settings, needs, run.configuration, 4))


def test_it_learns(run: PretrainingRun) -> None:
    step = make_step(run, stock_network(), run.budget.kinds, torch.device("cpu"), ddp=False)
    patches = run.budget.kinds["patients"]
    # Brighter towards one side, so that there is something to tell a rotation by.
    batch = make_batch(2, 4, size=patches.patches, patch=patches.patch_size[0])
    batch.images["augmented"] += torch.linspace(-3, 3, patches.patch_size[0])[:, None]

    def measure() -> dict[str, float]:
        step.generator.manual_seed(0)
        return {name: float(value) for name, value in step.measure(loaded(batch, "patients")).items()}

    before = measure()
    for _ in range(2):
        step.train(loaded(batch, "patients"))
    after = measure()
    assert after["loss"] < before["loss"]
    assert after["loss"] == pytest.approx(after["rotation/cross_entropy"])
    assert after["rotation/accuracy_chance"] == 0.25
    assert 0 <= after["rotation/accuracy"] <= 1


def test_its_step_costs_no_more_than_a_supervised_one(run: PretrainingRun) -> None:
    assert run.budget.cost <= 1
    assert list(run.budget.kinds) == ["patients"]


@pytest.mark.parametrize(
    ("needs", "message"),
    [
        ({"encoder_stages": (-1, -9)}, r"rotation looks at encoder stages -9 .* has 3\..*objectives\.rotation"),
        ({"encoder_stages": (0,)}, "rotation looks at encoder stages 0 "),
        ({"decoder_stages": (-3,)}, r"rotation looks at decoder stages -3 .* has 2\."),
        ({"neighbours": 2}, r"different neighbours \(rotation: 2, simclr: 1\).*simclr\.weight=0"),
        ({"supervoxels": 8}, "different supervoxels .*supervoxel: 16"),
    ],
)
def test_needs_that_cannot_be_met_are_refused(
    run: PretrainingRun, monkeypatch: pytest.MonkeyPatch, needs: dict[str, Any], message: str
) -> None:
    active = {**run.active, "supervoxel": SupervoxelSettings(weight=1.0), "simclr": SimCLRSettings(weight=1.0)}
    own, of_simclr = run.needs["rotation"], replace(SimCLR.needs(SimCLRSettings()), neighbours=1)
    monkeypatch.setattr(SimCLR, "needs", lambda _: of_simclr)
    check_objectives(active, "Dataset001", run.modalities, run.configuration)
    monkeypatch.setattr(Rotation, "needs", lambda _: replace(own, **needs))
    with pytest.raises(InputError, match=message):
        check_objectives(active, "Dataset001", run.modalities, run.configuration)


def test_its_settings_are_settings_of_the_run() -> None:
    lines = (
        "from nnssl_plugin.objectives.registry import OBJECTIVES",
        "from tests.rotation import Rotation",
        "OBJECTIVES['rotation'] = Rotation",
        "from nnssl_plugin.pretraining.active_objectives import recipe_of",
        "from nnssl_plugin.settings.presets import preset_assignments",
        "from nnssl_plugin.settings.settings import Settings, settings_with",
        "changed = [*preset_assignments('slem'), 'pretraining.objectives.rotation.weight=0.5']",
        "print(recipe_of(settings_with(Settings(), changed).pretraining))",
    )
    printed = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=Path(__file__).parents[1]
    )
    assert printed.stdout.strip() == "slem (weight 1), rotation (weight 0.5)", printed.stderr
