"""Mixtures of frames, from the loader to the loss."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from nnssl_plugin.data.batch import PretrainingBatch, batches_from_loader
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.frames import FrameRequest, check_frames, draw_slices, largest_gap, mixtures
from nnssl_plugin.data.loader import PretrainingDataLoader, intensity_statistics, patient_indices
from nnssl_plugin.data.patch_sampler import PatchRequest, PatchSampler
from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.frame_contrast import FrameContrast, FrameContrastSettings
from nnssl_plugin.objectives.objective import Features
from nnssl_plugin.pretraining.active_objectives import check_objectives
from nnssl_plugin.transforms.augmentation import stock_augmentation
from nnssl_plugin.transforms.denormalization import DenormalizationSettings, DenormalizationTransform
from tests.batches import make_batch, network_shape
from tests.synthetic import NAME, make_plans

SLICES = FrameRequest("slices", 3, "frames")
MODALITIES = FrameRequest("modalities", 3, "frames")


@pytest.mark.parametrize("count", [3, 4, 7, 40])
def test_three_slices_in_order_no_further_apart_than_asked(count: int) -> None:
    found = [draw_slices(middle, count, 3) for middle in range(count) for _ in range(50)]
    gaps = {b - a for slices in found for a, b in itertools.pairwise(slices)}
    assert all(len(slices) == 3 and slices[0] >= 0 and slices[2] < count for slices in found)
    assert gaps == set(range(1, min(3, (count - 1) // 2) + 1))


def test_the_patch_is_the_middle_one_where_there_is_room() -> None:
    assert all(draw_slices(20, 40, 3)[1] == 20 for _ in range(20))


@pytest.mark.parametrize(("count", "slices"), [(1, (0,)), (2, (0, 1))])
def test_fewer_than_three(count: int, slices: tuple[int, ...]) -> None:
    assert draw_slices(0, count, 3) == slices


def test_mixtures_are_the_papers() -> None:
    np.random.seed(0)
    frames = [np.full((1, 2, 2), value) for value in (0.0, 1.0, 10.0)]
    shares = np.array([[x.mean() for x in mixtures(frames)] for _ in range(4000)])
    # α f₂ of f₁ = 0, f₂ = 1; β f₂ + (1 − β) f₃ = 10 − 9 β. Beta(3, 5) has mean 3/8 and variance 15/576.
    for values in (shares[:, 0], (10 - shares[:, 1]) / 9):
        assert values.mean() == pytest.approx(3 / 8, abs=0.01)
        assert values.var() == pytest.approx(15 / 576, rel=0.1)
    assert mixtures(frames[:2])[1] is frames[1]
    assert mixtures(frames[:1])[0] is mixtures(frames[:1])[1]


def record(case: str = "a", **table: str) -> CaseRecord:
    zeros = np.zeros(3)
    middle = np.array([[4, 20, 20]])
    return CaseRecord(
        case, case, Path(), np.ones(3, bool), np.full(3, np.nan), 9, middle, zeros, zeros, np.zeros((3, 5)), table
    )


def test_distance_in_seconds_goes_by_the_clips_frame_rate() -> None:
    request = FrameRequest("slices", 0.5, "seconds")
    assert largest_gap(request, record(frame_seconds="0.1")) == 5
    assert largest_gap(request, record(frame_seconds="2")) == 1
    check_frames(request, [record(frame_seconds="0.1")])
    for table in ({}, {"frame_seconds": ""}, {"frame_seconds": "0"}):
        with pytest.raises(InputError, match=r"case b does not say how long a frame lasts.*unit=frames"):
            check_frames(request, [record(frame_seconds="0.1"), record("b", **table)])
    check_frames(SLICES, [record()])


def sampled(
    monkeypatch: pytest.MonkeyPatch,
    image: np.ndarray,
    request: FrameRequest,
    augment: bool = False,
    change: Callable[[CaseRecord], CaseRecord] = lambda one: one,
    size: tuple[int, ...] = (16, 16),
) -> PretrainingBatch:
    monkeypatch.setattr("nnssl_plugin.data.patch_sampler.open_image", lambda _: image)
    records = [change(record(f"case{i}")) for i in range(4)]
    augmentation = stock_augmentation(size, (-0.5, 0.5), tuple(range(len(size))), False, [False] * 3)
    sampler = PatchSampler(
        PatchRequest(size, 4, ("clean",), frames=request),
        0.1,
        DenormalizationTransform(intensity_statistics(records), DenormalizationSettings()),
        augmentation,
        augment,
    )
    loader = PretrainingDataLoader(records, patient_indices(records), {"patients": sampler}, {"patients": {}})
    return batches_from_loader(loader.generate_train_batch(), torch.device("cpu"))["patients"]


def frames(count: int) -> np.ndarray:
    """`[3, count, 44, 44]`: every slice has its number for its value, in the second channel tenfold."""
    numbers = np.arange(1.0, count + 1).reshape(1, -1, 1, 1) * np.ones((3, count, 44, 44), np.float32)
    return (numbers * np.array([1, 10, 100]).reshape(3, 1, 1, 1)).astype(np.float32)


def test_the_loader_mixes_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = sampled(monkeypatch, frames(9), SLICES).frame_pair
    assert pair is not None
    assert pair.shape == (4, 2, 3, 16, 16)
    values = pair[:, :, :, 8, 8]
    assert (values[:, 0, 0] < values[:, 1, 0]).all()
    # All channels show the same frames, mixed alike.
    torch.testing.assert_close(values[:, :, 1], 10 * values[:, :, 0])
    two = sampled(monkeypatch, frames(2), SLICES).frame_pair
    assert two is not None
    assert two[:, :, 0, 8, 8].tolist() == [[1, 2]] * 4


def test_a_single_frame_gives_two_views_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).normal(size=(3, 1, 44, 44)).astype(np.float32)
    for augment in (False, True):
        pair = sampled(monkeypatch, image, SLICES, augment).frame_pair
        assert pair is not None
        assert not torch.equal(pair[:, 0], pair[:, 1])


@pytest.mark.parametrize("size", [(16, 16), (8, 16, 16)])
def test_modalities_as_frames(monkeypatch: pytest.MonkeyPatch, size: tuple[int, ...]) -> None:
    pair = sampled(monkeypatch, frames(9)[:, :1].repeat(9, axis=1), MODALITIES, size=size).frame_pair
    assert pair is not None
    assert pair.shape == (4, 2, 1, *size)
    # Between two of 1, 10 and 100, which stand in any order.
    assert ((pair > 1) & (pair < 100)).all()

    def without_the_third(one: CaseRecord) -> CaseRecord:
        return replace(one, present=np.array([True, True, False]))

    two = sampled(monkeypatch, frames(9)[:, :1].repeat(9, axis=1), MODALITIES, change=without_the_third).frame_pair
    assert two is not None
    assert {tuple(sorted(values)) for values in two[:, :, 0, 8, 8].tolist()} == {(1.0, 10.0)}


def test_a_missing_modality_stays_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_the_first(one: CaseRecord) -> CaseRecord:
        return replace(one, present=np.array([False, True, True]))

    pair = sampled(monkeypatch, frames(9), SLICES, augment=True, change=without_the_first).frame_pair
    assert pair is not None
    assert (pair[:, :, 0] == 0).all()
    assert (pair[:, :, 1] != 0).any()


@pytest.mark.parametrize("axes", [2, 3])
def test_views_and_loss(axes: int) -> None:
    batch = make_batch(axes, 3)
    task = FrameContrast(FrameContrastSettings(), network_shape(axes, 3))
    assert batch.frame_pair is not None
    views = task.draw_views(batch, torch.Generator())
    assert torch.equal(views.images["second"], batch.frame_pair[:, 1])
    one = replace(batch, frame_pair=batch.frame_pair[:, :, :1])
    assert task.draw_views(one, torch.Generator()).images["first"].shape == (6, 3, *batch.patch_size)
    same = Features([torch.randn(6, 16, *[1] * axes)])
    result = task({"first": same, "second": same}, views, batch)
    assert result.metrics["retrieval"] == 1
    # Patches of one group are not compared.
    batch.patient[:] = 0
    assert task({"first": same, "second": same}, views, batch).loss == 0


@pytest.mark.parametrize(("kind", "refused"), [("slices", True), ("modalities", False)])
def test_slices_are_for_2d_configurations(kind: Any, refused: bool) -> None:
    active = {"frame_contrast": FrameContrastSettings(weight=1.0, frames=kind)}
    check = partial(check_objectives, active, NAME, ("T1", "T2"))
    plans = PlansManager(make_plans())
    check(plans.get_configuration("2d"))
    if refused:
        with pytest.raises(InputError, match=r"frames=modalities"):
            check(plans.get_configuration("3d_fullres"))
    else:
        check(plans.get_configuration("3d_fullres"))
