"""What all rivals must bear and do, with a network below them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint, run_training
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.objectives.objective import NetworkShape, Objective
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.pretraining_network import PretrainingNetwork
from nnssl_plugin.settings.presets import PRESETS
from nnssl_plugin.settings.settings import Settings
from tests.batches import NAMES, make_batch, smooth_batch
from tests.synthetic import NAME, architecture, make_plans, write_dataset

RIVALS = ["jigen", "puzzle", "supervoxel", "simclr", "mae"]
SETTINGS: dict[str, dict[str, Any]] = {"mae": {"cube_size": 8}, "jigen": {"permutations": 4}}


def network(name: str, axes: int, channels: int) -> PretrainingNetwork:
    torch.manual_seed(0)
    plans = architecture(axes, residual=False, features=8)
    unet = get_network_from_plans(
        plans["network_class_name"], plans["arch_kwargs"], plans["_kw_requires_import"], channels, 2, True, False
    )
    patch = (32, 32) if axes == 2 else (16, 16, 16)
    shape = NetworkShape(NAMES[:channels], patch, tuple(s // 4 for s in patch), (8, 16, 32))
    settings = OBJECTIVES[name].Settings(weight=1.0, **SETTINGS.get(name, {}))
    objective: Objective = OBJECTIVES[name](settings, shape)
    return PretrainingNetwork(unet, {name: objective}, {name: objective.needs(settings)})


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", RIVALS)
def test_learns(name: str, axes: int) -> None:
    model, batch = network(name, axes, 2), smooth_batch(axes, 2)
    kind = model.needs[name].patches
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, 3e-3)
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        total, _ = model({kind: batch}, {name: model.objectives[name].draw_views(batch, generator)})
        total.backward()
        assert all(parameter.grad is not None for parameter in trained)
        optimizer.step()
        losses.append(total.item())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


@pytest.mark.parametrize("case", ["one patch", "no foreground", "constant image", "one modality", "half precision"])
@pytest.mark.parametrize("name", RIVALS)
def test_hard_batches_have_finite_losses_and_gradients(name: str, case: str) -> None:
    model = network(name, 3, 3)
    batch = make_batch(3, 3, size=1 if case == "one patch" else 3, constant=case == "constant image")
    for part in (batch, batch.second):
        assert part is not None
        if case == "no foreground":
            part.foreground[:] = False
        if case == "one modality":
            part.present[:, 1:] = False
            for images in part.images.values():
                images[:, 1:] = 0
    views = {name: model.objectives[name].draw_views(batch, torch.Generator().manual_seed(0))}
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "half precision"):
        total, results = model({model.needs[name].patches: batch}, views)
    assert results[name].loss.dtype == torch.float32
    assert torch.isfinite(total)
    total.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_rivals_are_off_by_default_and_each_alone_in_the_preset_of_its_name() -> None:
    objectives = Settings().pretraining.objectives
    assert all(getattr(objectives, name).weight == 0 for name in RIVALS)
    assert all(PRESETS[name] == {name: 1.0} for name in RIVALS)


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_train_together_in_the_real_nnunet(
    nnunet_folders: Path, monkeypatch: pytest.MonkeyPatch, configuration: str
) -> None:
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers_folder()))
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")
    weights = {name: {"weight": float(name in RIVALS)} for name in OBJECTIVES}
    tiny = {"epochs": 1, "iterations_per_epoch": 2, "validation_iterations": 2, "seed": 3}
    write_dataset(nnunet_folders, make_plans({"pretraining": {**tiny, "objectives": weights}}))
    run_training(NAME, configuration, 0, "SSLPretrainTrainer", "Tiny", device=torch.device("cpu"))
    fold = nnunet_folders / "nnUNet_results" / NAME / f"SSLPretrainTrainer__Tiny__{configuration}" / "fold_0"
    saved = torch.load(fold / "checkpoint_final.pth", map_location="cpu", weights_only=True)
    assert set(saved["nnssl_plugin"]["provenance"]["objectives"]) == set(RIVALS)
    assert (fold / "validation" / "report.html").is_file()
    stock = get_trainer_from_args(NAME, configuration, 0, "nnUNetTrainer", "Tiny", device=torch.device("cpu"))
    maybe_load_checkpoint(stock, False, False, str(fold / "checkpoint_final.pth"))


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("name", RIVALS)
def test_a_step_never_waits_for_the_device_and_no_shape_depends_on_the_data(
    name: str, axes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tensors without values raise where one is asked for. An exponential draw with a generator is all they cannot do.
    monkeypatch.setattr("nnssl_plugin.objectives.puzzle.draw_one", lambda weights, _: weights.argmax(dim=1))
    model, batch = network(name, axes, 3), make_batch(axes, 3)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        hollow = without_values(batch, mode)
        views = {name: model.objectives[name].draw_views(hollow, torch.Generator())}
        total, _ = model({model.needs[name].patches: hollow}, views)
        assert total.shape == ()
        with pytest.raises(DataDependentOutputException):
            total.item()


def without_values(batch: PretrainingBatch, mode: FakeTensorMode) -> PretrainingBatch:
    hollow = {key: mode.from_tensor(value) for key, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    images = {key: mode.from_tensor(value) for key, value in batch.images.items()}
    second = None if batch.second is None else without_values(batch.second, mode)
    return replace(batch, **hollow, images=images, second=second)
