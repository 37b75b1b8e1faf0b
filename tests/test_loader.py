import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from nnssl_plugin.data import case_index
from nnssl_plugin.data.case_index import build_case_index
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.loader import in_worker_processes, records_of_process
from nnssl_plugin.data.patch_position import draw_patch_position
from nnssl_plugin.errors import InputError
from tests.loaders import draw, index, loader, seed
from tests.synthetic import BACKGROUND, MODALITIES, NAME, brain, make_plans, write_dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_dataset(tmp_path, make_plans())
    return tmp_path / "nnUNet_preprocessed" / NAME / "nnUNetPlans_3d"


def test_index_holds_what_the_image_says(folder: Path) -> None:
    record = index(folder)[2]
    image = brain(2)
    inside = (image != BACKGROUND).all(axis=0)
    assert record.case == "case02"
    np.testing.assert_allclose(record.background, BACKGROUND, atol=1e-6)
    assert record.foreground_voxels == inside.sum()
    assert inside[tuple(record.read_locations().T)].all()
    np.testing.assert_allclose(record.mean, [c[inside].mean() for c in image], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(record.quantiles[:, 16], [np.median(c[inside]) for c in image], rtol=1e-4, atol=1e-5)


def test_index_is_cached_until_the_image_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index(folder)
    written: list[str] = []
    original = case_index._write_cache
    monkeypatch.setattr(
        case_index, "_write_cache", lambda image, *rest: (written.append(image.stem), original(image, *rest))
    )
    index(folder)
    assert written == []
    image = folder / "case01.b2nd"
    image.touch()
    index(folder)
    assert written == ["case01"]
    next(folder.parent.glob("nnssl_plugin_cache/**/case03.npz")).unlink()
    index(folder)
    assert written == ["case01", "case03"]
    monkeypatch.setattr(case_index, "VERSION", case_index.VERSION + 1)
    index(folder)
    assert sorted(written[2:]) == [f"case0{i}" for i in range(6)]
    assert not list(folder.parent.glob("nnssl_plugin_cache/**/.unfinished*"))


def test_a_start_opens_one_file_for_all_cases(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where folds take turns: what one has seen is known to the other."""
    cases = [f"case0{i}" for i in range(6)]
    patients = {case: case for case in cases}
    first = build_case_index(folder, cases[:4], MODALITIES, patients)
    build_case_index(folder, cases[2:], MODALITIES, patients)
    opened: list[Path] = []
    original = np.load
    monkeypatch.setattr(np, "load", lambda file, **more: (opened.append(Path(file)), original(file, **more))[1])
    again = build_case_index(folder, cases, MODALITIES, patients)
    assert len(opened) == 1
    for one, other in zip(first, again, strict=False):
        np.testing.assert_array_equal(one.quantiles, other.quantiles)
        assert one.foreground_voxels == other.foreground_voxels
        np.testing.assert_array_equal(one.read_locations(), other.read_locations())
    assert opened[1:] == [record.locations for record in first for _ in range(2)]


def test_broken_images_are_named(tmp_path: Path) -> None:
    plans = make_plans()
    write_dataset(tmp_path, plans, cases=2)
    folder = tmp_path / "nnUNet_preprocessed" / NAME / "nnUNetPlans_3d"
    with pytest.raises(InputError, match=r"case07.*nnssl_plugin align"):
        build_case_index(folder, ["case00", "case07"], MODALITIES, {})
    with pytest.raises(InputError, match=r"case00.*4 channels.*names 2"):
        case_index.gather_arrays(folder / "case00.b2nd", ["T1", "T2"])


def test_nan_is_named_by_case_and_modality(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = brain(0)
    image[2, 5, 5, 5] = np.nan
    monkeypatch.setattr(case_index, "open_image", lambda _: image)
    with pytest.raises(InputError, match="case00, modality T2"):
        case_index.gather_arrays(folder / "case00.b2nd", MODALITIES)


def test_constant_channel_is_a_missing_modality(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = brain(0)
    image[1] = 0
    monkeypatch.setattr(case_index, "open_image", lambda _: image)
    arrays = case_index.gather_arrays(folder / "case00.b2nd", MODALITIES)
    assert arrays["present"].tolist() == [True, False, True, True]
    image[:] = 3
    with pytest.raises(InputError, match="every modality is constant"):
        case_index.gather_arrays(folder / "case00.b2nd", MODALITIES)


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize("patch", [(16, 16, 16), (16, 16)])
def test_batch_has_what_the_objectives_need(folder: Path, augment: bool, patch: tuple[int, ...]) -> None:
    np.random.seed(0)
    batch = draw(loader(index(folder), patch, augment=augment))
    assert batch.images["augmented"].shape == batch.images["denormalized"].shape == (4, 4, *patch)
    assert batch.foreground.shape == (4, 1, *patch)
    assert batch.foreground.dtype == torch.bool
    assert batch.denormalized_target.shape == batch.present.shape == (4, 4)
    assert (batch.denormalized_target != torch.arange(4)).all()
    assert len(set(batch.patient.tolist())) == len(set(batch.cases)) == 4
    assert torch.isfinite(batch.images["augmented"]).all()
    assert 0.1 < batch.foreground.float().mean() < 1


def test_patch_is_what_lies_there_in_the_image(folder: Path) -> None:
    np.random.seed(0)
    batch = draw(loader(index(folder), (24, 24, 24)))
    for i, case in enumerate(batch.cases):
        image = brain(int(case[-2:]))
        np.testing.assert_array_equal(batch.images["augmented"][i], image)
        np.testing.assert_array_equal(batch.foreground[i, 0], (image != BACKGROUND).any(axis=0))


def test_patch_larger_than_the_image_is_padded_with_zeros_outside_the_foreground(folder: Path) -> None:
    batch = draw(loader(index(folder), (32, 32, 32)))
    assert (batch.images["augmented"][:, :, :4] == 0).all()
    assert not batch.foreground[:, :, :4].any()


def test_missing_modality_stays_empty_under_augmentation(folder: Path) -> None:
    records = index(folder)
    records = [CaseRecord(**{**record.__dict__, "present": np.array([True, True, False, True])}) for record in records]
    np.random.seed(1)
    batches = [draw(loader(records, augment=True)) for _ in range(8)]
    assert all(
        (batch.images["augmented"][:, 2] == 0).all() and (batch.images["denormalized"][:, 2] == 0).all()
        for batch in batches
    )
    assert all((batch.denormalized_target[:, [0, 1, 3]] != 2).all() for batch in batches)


def test_a_modality_alone_is_not_measured_on_two_equal_images(folder: Path) -> None:
    records = index(folder)
    records = [
        CaseRecord(**{**record.__dict__, "present": np.array([False, i > 0, False, True])})
        for i, record in enumerate(records)
    ]
    seed(0)
    changed = 0
    for _ in range(4):
        batch = draw(loader(records, (24, 24, 24), size=6))
        first = batch.cases.index("case00")
        np.testing.assert_array_equal(batch.images["augmented"][first, 3], brain(0)[3])
        changed += not torch.equal(batch.images["augmented"][first, 3], batch.images["denormalized"][first, 3])
        assert not batch.images["denormalized"][first, :3].any()
    # nnU-Net's augmentations are drawn apart, now and then none.
    assert changed >= 2


def test_images_with_fewer_channels_than_named_are_refused_from_the_cache_too(folder: Path) -> None:
    index(folder)
    with pytest.raises(InputError, match=r"has 4 channels, dataset\.json names 5"):
        build_case_index(folder, ["case00"], [*MODALITIES, "PD"], {"case00": "case00"})


def test_sessions_of_a_patient_share_an_index_and_small_cohorts_repeat_patients(folder: Path) -> None:
    patients = {f"case{i:02d}": f"patient{i // 3}" for i in range(6)}
    batch = draw(loader(index(folder, patients), size=4))
    assert sorted(batch.patient.tolist()) == [0, 0, 1, 1]
    assert all(patients[key] == f"patient{p}" for key, p in zip(batch.cases, batch.patient.tolist(), strict=True))


def test_never_opens_a_segmentation_or_the_class_locations(folder: Path) -> None:
    for file in [*folder.glob("*_seg.b2nd"), *folder.glob("*.pkl")]:
        file.unlink()
    draw(loader(index(folder), augment=True))


def test_seeded_loader_repeats_and_survives_pickling(folder: Path) -> None:
    first = loader(index(folder), augment=True)
    batches = []
    for source in (first, pickle.loads(pickle.dumps(first))):
        seed(5)
        batches.append(draw(source))
    assert batches[0].cases == batches[1].cases
    for name, image in batches[0].images.items():
        torch.testing.assert_close(image, batches[1].images[name])


def test_drawn_patches_have_foreground_in_every_quarter() -> None:
    mask = np.zeros((40, 60, 60), dtype=bool)
    mask[10:30, 15:45, 15:45] = True
    locations = np.argwhere(mask)
    np.random.seed(0)
    for _ in range(50):
        start = draw_patch_position(mask.shape, (16, 16, 16), locations, len(locations), 0.1)
        z, y, x = start
        quarters = [mask[z : z + 16, y + a : y + a + 8, x + b : x + b + 8].mean() for a in (0, 8) for b in (0, 8)]
        assert (start >= 0).all()
        assert min(quarters) >= 0.1


@pytest.mark.parametrize(("patch", "dummy_2d"), [((16, 16, 16), False), ((8, 16, 16), True), ((16, 16), False)])
@pytest.mark.parametrize("mask", [False, True])
def test_image_counterpart_and_foreground_move_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch, patch: tuple[int, ...], dummy_2d: bool, mask: bool
) -> None:
    # Foreground is 5 everywhere, background −5: whatever rotates and flips must agree with the mask.
    image = np.where(brain(0) != BACKGROUND, 5, -5).astype(np.float32)
    monkeypatch.setattr("nnssl_plugin.data.patch_sampler.open_image", lambda _: image)
    records = [CaseRecord(**{**r.__dict__, "background": np.full(4, -5.0)}) for r in index(folder)]
    source = loader(records, patch, augment=True, dummy_2d=dummy_2d, mask=mask)
    seed(0)
    agreement = []
    for _ in range(6):
        batch = draw(source)
        inside = batch.foreground.expand_as(batch.images["augmented"])
        for key in ("augmented", "denormalized"):
            values = batch.images[key]
            middle = (values[inside].mean() + values[~inside].mean()) / 2
            # What denormalisation makes of one value may lie near the 0 that masking puts outside.
            if key == "augmented" or not mask:
                agreement.append(((values > middle) == inside).float().mean())
            if mask:
                assert (values[~inside] == 0).all()
    assert np.mean(agreement) > 0.93


def test_worker_processes_draw_different_patches(folder: Path) -> None:
    np.random.seed(0)
    generator = in_worker_processes(loader(index(folder)), processes=2, pin_memory=False)
    try:
        batches = [draw(generator).images["augmented"] for _ in range(6)]
    finally:
        generator._finish()
    assert all(not torch.equal(a, b) for i, a in enumerate(batches) for b in batches[:i])


def test_processes_share_no_patient_unless_there_are_too_few(folder: Path) -> None:
    records = index(folder)
    parts = [records_of_process(records, rank, 2, patches=4) for rank in (0, 1)]
    assert sorted(r.case for part in parts for r in part) == [r.case for r in records]
    assert not {r.patient for r in parts[0]} & {r.patient for r in parts[1]}
    assert records_of_process(records, 1, 2, patches=8) == records
