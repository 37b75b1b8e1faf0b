import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nnssl_plugin.data import supervoxels
from nnssl_plugin.data.case_index import build_case_index
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.loader import intensity_statistics
from nnssl_plugin.data.patch_sampler import PatchRequest, PatchSampler
from nnssl_plugin.data.supervoxels import SUPERVOXELS, look_up, supervoxel_map, with_supervoxels
from nnssl_plugin.transforms.augmentation import stock_augmentation
from nnssl_plugin.transforms.denormalization import DenormalizationSettings, DenormalizationTransform
from tests.synthetic import MODALITIES, NAME, make_plans, write_dataset

ISOTROPIC = (1.0, 1.0, 1.0)


@pytest.fixture
def records(tmp_path: Path) -> list[CaseRecord]:
    names = write_dataset(tmp_path, make_plans(), cases=2)
    folder = tmp_path / "nnUNet_preprocessed" / NAME / "nnUNetPlans_3d"
    return build_case_index(folder, names, MODALITIES, {name: name for name in names})


def sampler(records: list[CaseRecord], patch: tuple[int, ...], augment: bool, **more: bool) -> PatchSampler:
    denormalization = DenormalizationTransform(intensity_statistics(records), DenormalizationSettings())
    augmentation = stock_augmentation(patch, (-0.5, 0.5), tuple(range(len(patch))), False, [False] * 4)
    request = PatchRequest(patch, 2, ("clean",), supervoxels=True, **more)
    return PatchSampler(request, 0.1, denormalization, augmentation, augment)


def test_supervoxels_follow_what_any_modality_shows_and_have_the_size_asked_for() -> None:
    image = np.random.default_rng(0).normal(0, 0.02, (2, 32, 32, 32)).astype(np.float32)
    image[0, 13:] += 1
    image[1, :, :, 9:] += 1
    numbers = supervoxel_map(image, edge=8, spacing=ISOTROPIC)
    assert numbers.shape == (16, 16, 16)
    assert numbers.min() == 0
    parts = len(np.unique(numbers))
    assert 32 <= parts <= 128, "64 cubes of 8 fill 32³ voxels"
    # At half resolution the edges lie in voxels 6 and 4: beside them no supervoxel is on both sides.
    for axis, at in ((0, 6), (2, 4)):
        before, behind = np.split(numbers, [at], axis)
        behind = np.delete(behind, 0, axis)
        assert not set(np.unique(before)) & set(np.unique(behind))


def test_superpixels_of_slices_in_2d_and_thick_slices_kept_in_3d() -> None:
    image = np.random.default_rng(0).normal(size=(1, 5, 32, 24)).astype(np.float32)
    flat = supervoxel_map(image, edge=8, spacing=(1.0, 1.0))
    assert flat.shape == (5, 16, 12)
    assert all(4 <= len(np.unique(part)) <= 24 for part in flat)
    assert supervoxel_map(image, edge=8, spacing=(5.0, 1.0, 1.0)).shape == (5, 16, 12)


def test_image_without_contrast_is_cut_into_boxes() -> None:
    numbers = supervoxel_map(np.zeros((1, 16, 16, 16), np.float32), edge=8, spacing=ISOTROPIC)
    assert len(np.unique(numbers)) == 8


def test_missing_modality_does_not_matter(records: list[CaseRecord]) -> None:
    present = np.array([True, False, True, True])
    found = with_supervoxels([replace(records[0], present=present)], 8, ISOTROPIC)
    image = supervoxels.open_image(records[0].file)[:]
    stored = supervoxels.open_image(found[0].files[SUPERVOXELS])[:]
    np.testing.assert_array_equal(stored, supervoxel_map(image[present], 8, ISOTROPIC))


def test_computed_once_until_image_or_spacing_change(
    records: list[CaseRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    original = supervoxel_map
    monkeypatch.setattr(
        supervoxels,
        "supervoxel_map",
        lambda image, edge, spacing: (computed.append(edge), original(image, edge, spacing))[1],
    )
    first = with_supervoxels(records, 8, ISOTROPIC)
    again = with_supervoxels(records, 8, ISOTROPIC)
    assert computed == [8, 8]
    assert [record.files for record in first] == [record.files for record in again]
    with_supervoxels(records, 12, ISOTROPIC)
    with_supervoxels(records, 8, ISOTROPIC)
    assert computed == [8, 8, 12, 12], "one cache for each size"
    records[0].file.touch()
    with_supervoxels(records, 8, ISOTROPIC)
    assert computed == [8, 8, 12, 12, 8]
    with_supervoxels(records, 8, (3.0, 1.0, 1.0))
    assert computed == [8, 8, 12, 12, 8, 8, 8]
    assert not list(records[0].file.parent.parent.glob("nnssl_plugin_cache/**/.unfinished*"))


def test_processes_share_the_work(records: list[CaseRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervoxels.dist, "barrier", lambda: None)
    with_supervoxels(records, 8, ISOTROPIC, rank=1, world=2)
    written = [record.files[SUPERVOXELS].is_file() for record in with_supervoxels(records, 8, ISOTROPIC, 2, 3)]
    assert written == [False, True]


def test_places_are_looked_up_at_the_nearest_voxel_and_at_the_edge_outside(records: list[CaseRecord]) -> None:
    record = with_supervoxels(records, 8, ISOTROPIC)[0]
    stored = supervoxels.open_image(record.files[SUPERVOXELS])[:]
    places = np.array([[-3.0, 0, 0], [5.4, 7.6, 23], [40, 11, 12.2]], np.float32).T
    expected = [stored[0, 0, 0], stored[2, 4, 11], stored[11, 5, 6]]
    assert look_up(record, (24, 24, 24), places).tolist() == expected


@pytest.mark.parametrize("patch", [(16, 16, 16), (16, 16)])
def test_patch_has_the_supervoxels_that_lie_there(records: list[CaseRecord], patch: tuple[int, ...]) -> None:
    records = with_supervoxels(records, 8, ISOTROPIC[: len(patch)])
    source = pickle.loads(pickle.dumps(sampler(records, patch, augment=False)))
    image = supervoxels.open_image(records[0].file)[:]
    stored = supervoxels.open_image(records[0].files[SUPERVOXELS])[:]
    full = stored.repeat(24 // len(stored), 0).repeat(2, 1).repeat(2, 2)
    np.random.seed(0)
    for _ in range(3):
        sample = source.draw(records[0], 0)
        assert sample["supervoxels"].shape == (1, *patch)
        assert sample["supervoxels"].dtype == torch.long
        assert "coordinates" not in sample
        assert sample["images/clean"].shape == (4, *patch)
        wanted = sample["images/clean"].numpy().reshape(4, *[1] * (3 - len(patch)), *patch)
        size = wanted.shape[1:]
        windows = np.lib.stride_tricks.sliding_window_view(image, size, axis=(1, 2, 3))
        at = np.argwhere((windows == wanted[:, None, None, None]).all(axis=(0, 4, 5, 6)))
        z, y, x = at[0]
        there = full[z : z + size[0], y : y + size[1], x : x + size[2]]
        np.testing.assert_array_equal(sample["supervoxels"].numpy().reshape(size), there)


@pytest.mark.parametrize("patch", [(16, 16, 16), (16, 16)])
@pytest.mark.parametrize("second_crop", [False, True])
def test_image_and_supervoxels_move_together(
    records: list[CaseRecord], monkeypatch: pytest.MonkeyPatch, patch: tuple[int, ...], second_crop: bool
) -> None:
    records = with_supervoxels(records, 8, ISOTROPIC[: len(patch)])
    stored = supervoxels.open_image(records[0].files[SUPERVOXELS])[:]
    full = stored.repeat(24 // len(stored), 0).repeat(2, 1).repeat(2, 2)
    # Every voxel shows the number of its supervoxel.
    shown = np.stack([full.astype(np.float32)] * 4)
    monkeypatch.setattr("nnssl_plugin.data.patch_sampler.open_image", lambda _: shown)
    source = sampler(records, patch, augment=True, second_crop=second_crop)
    np.random.seed(0)
    torch.manual_seed(0)
    agreement = []
    for _ in range(12):
        sample = source.draw(records[0], 0)
        assert ("coordinates" in sample) == second_crop
        inside = sample["foreground"]
        apart = (sample["images/clean"][:1] - sample["supervoxels"]).abs()[inside]
        # Between two supervoxels intensities are interpolated; numbers are not.
        agreement.append((apart < 0.5).float().mean())
        assert set(sample["supervoxels"].unique().tolist()) <= set(np.unique(stored).tolist())
    assert np.mean(agreement) > 0.75
