"""The loader makes what is asked for, as it is asked for, and nothing else."""

import multiprocessing
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nnssl_plugin.data.batch import Patches, batches_from_loader
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.loader import PretrainingDataLoader, in_worker_processes, patient_indices
from nnssl_plugin.data.patch_sampler import LARGEST_SHIFT, PatchSampler
from nnssl_plugin.pretraining.make_loader import make_loader
from nnssl_plugin.pretraining.run import pretraining_run
from nnssl_plugin.settings.settings import settings_from_dict
from nnssl_plugin.transforms.augmentation import stock_augmentation
from nnssl_plugin.transforms.denormalization import DenormalizationTransform
from tests.loaders import draw, index, loader, sampler, seed
from tests.synthetic import BACKGROUND, NAME, brain, make_dataset_json, make_plans, write_dataset

CASES = 8
# Rotated, scaled and mirrored patches of 3d, anisotropic (dummy 2d) and 2d configurations.
PATCHES = [((16, 16, 16), False), ((8, 16, 16), True), ((16, 16), False)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_dataset(root, make_plans(), cases=CASES)
    return root / "nnUNet_preprocessed" / NAME / "nnUNetPlans_3d"


@pytest.fixture
def position_records(monkeypatch: pytest.MonkeyPatch) -> list[CaseRecord]:
    """Cases of 44³ whose three channels are each voxel's z, y and x, foreground all over, seen in their middle."""
    image = np.stack(np.meshgrid(*[np.arange(44)] * 3, indexing="ij")).astype(np.float32)
    monkeypatch.setattr("nnssl_plugin.data.patch_sampler.open_image", lambda _: image)
    middle = np.stack(np.meshgrid(*[np.arange(20, 25)] * 3, indexing="ij")).reshape(3, -1).T
    zeros = np.zeros(3)
    return [
        CaseRecord(
            f"case{i}",
            f"patient{i}",
            Path(),
            np.ones(3, bool),
            np.full(3, np.nan),
            image[0].size,
            middle,
            zeros,
            zeros + 1,
            np.zeros((3, 33)),
        )
        for i in range(8)
    ]


def loader_of(folder: Path, settings: dict[str, Any], augment: bool = True) -> PretrainingDataLoader:
    """As the trainer makes it, for plans of 16³ and batch 2."""
    plans, dataset_json = make_plans(), make_dataset_json([])
    run = pretraining_run(
        plans, "3d_fullres", dataset_json, settings_from_dict({"pretraining": {"objectives": settings}}).pretraining
    )
    augmentation = partial(
        stock_augmentation, rotation=(-0.5, 0.5), mirror_axes=(0, 1, 2), dummy_2d=False, use_mask_for_norm=[False] * 4
    )
    return make_loader(run, index(folder), run.budget.kinds, augmentation, augment)


@pytest.fixture
def denormalized(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Calls of DAD."""
    calls: list[str] = []
    for name in ("get_parameters", "apply"):
        original = getattr(DenormalizationTransform, name)

        def counted(self: Any, *args: Any, _name: str = name, _original: Any = original, **kwargs: Any) -> Any:
            calls.append(_name)
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(DenormalizationTransform, name, counted)
    return calls


OFF = {name: {"weight": 0} for name in ("slem", "contrastive", "local_contrastive", "restoration")}
SHARED = {"foreground", "present", "patient", "cases"}


@pytest.mark.parametrize(
    ("settings", "images"),
    [
        ({"restoration": {"weight": 1}}, {"plans": {"augmented", "clean"}}),
        ({"slem": {"weight": 1}}, {"patients": {"augmented"}}),
        ({"slem": {"weight": 1, "denormalization_probability": 0.5}}, {"patients": {"augmented", "denormalized"}}),
        ({"contrastive": {"weight": 1}}, {"patients": {"augmented", "denormalized"}}),
        (
            {"restoration": {"weight": 1}, "contrastive": {"weight": 1}},
            {"plans": {"augmented", "clean"}, "patients": {"augmented", "denormalized"}},
        ),
    ],
)
def test_a_batch_holds_what_the_objectives_ask_for_and_nothing_else(
    folder: Path, denormalized: list[str], settings: dict[str, Any], images: dict[str, set[str]]
) -> None:
    expected = set()
    for kind, names in images.items():
        target = {"denormalized_target"} if "denormalized" in names else set()
        expected |= {f"{kind}/{key}" for key in {*SHARED, *target, *(f"images/{name}" for name in names)}}
    source = loader_of(folder, {**OFF, **settings})
    assert set(next(source)) == expected
    patches = sum(s.request.patches for k, s in source.samplers.items() if "denormalized" in images[k])
    assert denormalized == ["get_parameters", "apply"] * patches
    # What is measured on plain patches looks at a clean image.
    measured = loader_of(folder, {**OFF, **settings}, augment=False)
    assert set(next(measured)) == expected | {f"{kind}/images/clean" for kind in images}


def test_two_kinds_of_patches_in_one_step(folder: Path) -> None:
    seed(0)
    source = loader_of(folder, {"restoration": {"weight": 1}, "slem": {"weight": 1}})
    batches = batches_from_loader(next(source), torch.device("cpu"))
    assert set(batches) == {"plans", "patients"}
    for kind, batch in batches.items():
        request = source.samplers[kind].request
        assert batch.images["augmented"].shape == (request.patches, 4, *request.patch_size)
        assert len(batch.cases) == len(batch.patient) == len(set(batch.cases)) == request.patches
        assert [f"case{patient:02d}" for patient in batch.patient.tolist()] == batch.cases
    assert batches["plans"].patch_size != batches["patients"].patch_size


def test_without_augmentation_clean_and_augmented_are_the_image_itself(folder: Path) -> None:
    seed(0)
    batch = draw(loader(index(folder), (24, 24, 24), images=("clean", "augmented")))
    for i, case in enumerate(batch.cases):
        image = torch.from_numpy(brain(int(case[-2:])))
        assert torch.equal(batch.images["clean"][i], image)
        assert torch.equal(batch.images["augmented"][i], image)
        assert torch.equal(batch.foreground[i, 0], (image != BACKGROUND).any(dim=0))


@pytest.mark.parametrize(("patch", "dummy_2d"), PATCHES)
def test_a_clean_image_shows_the_places_of_the_augmented_one_before_intensities_change(
    folder: Path, patch: tuple[int, ...], dummy_2d: bool
) -> None:
    source = sampler(index(folder), patch, augment=True, dummy_2d=dummy_2d, images=("augmented", "clean"))
    record = index(folder)[0]
    changed = 0
    for number in range(8):
        seed(number)
        both = source.draw(record, 0)
        source.augmentation.intensity.transforms, kept = [], source.augmentation.intensity.transforms
        seed(number)
        plain = source.draw(record, 0)
        source.augmentation.intensity.transforms = kept
        assert torch.equal(both["images/clean"], plain["images/augmented"])
        assert torch.equal(both["foreground"], plain["foreground"])
        changed += not torch.equal(both["images/clean"], both["images/augmented"])
    assert changed >= 6


@pytest.mark.parametrize("augment", [False, True])
@pytest.mark.parametrize(("patch", "dummy_2d"), PATCHES)
def test_coordinates_of_both_crops_are_where_the_voxels_come_from(
    position_records: list[CaseRecord], patch: tuple[int, ...], dummy_2d: bool, augment: bool
) -> None:
    axes = len(patch)
    source = loader(
        position_records, patch, size=8, augment=augment, dummy_2d=dummy_2d, images=("clean",), second_crop=True
    )
    seed(1)
    shifted = seen = 0
    for _ in range(6):
        first = draw(source)
        second = first.second
        assert second is not None
        assert second.cases == first.cases
        assert torch.equal(second.patient, first.patient)
        for crop in (first, second):
            assert crop.coordinates is not None
            assert crop.coordinates.shape == (8, axes, *patch)
            inside = crop.foreground.expand_as(crop.coordinates)
            # An image's channels are its voxels' positions.
            shown = crop.images["clean"][:, -axes:]
            torch.testing.assert_close(crop.coordinates[inside], shown[inside], atol=1e-3, rtol=0)
            # Beyond what is read around a patch there is no position.
            assert crop.coordinates[inside].min() > 1
            assert crop.foreground.float().mean() > 0.9
        assert first.coordinates is not None
        assert second.coordinates is not None
        if augment:
            seen += int((first.coordinates.round() != first.coordinates).any())
            continue
        start, other = (c.coordinates.flatten(2).amin(dim=2) for c in (first, second) if c.coordinates is not None)
        limit = (torch.tensor(patch) * LARGEST_SHIFT).int()
        assert ((start - other).abs() <= limit).all(), "the crops overlap by at least half on every axis"
        shifted += int((start != other).any())
    assert seen >= 3 if augment else shifted == 6


def test_a_second_crop_stays_in_the_image(folder: Path) -> None:
    source = loader(index(folder), (20, 20, 32), images=("clean",), second_crop=True)
    for number in range(4):
        seed(number)
        second = draw(source).second
        assert second is not None
        assert second.coordinates is not None
        low, high = (
            torch.stack([f(second.coordinates[:, axis].flatten(1), 1) for axis in range(3)], 1)
            for f in (torch.amin, torch.amax)
        )
        assert (low[:, :2] >= 0).all()
        assert (high[:, :2] <= 23).all()
        assert (low[:, 2] == -4).all(), "an image smaller than the patch stays in its middle"


@pytest.mark.parametrize("augment", [False, True])
def test_neighbours_are_the_slices_beside_the_patch_under_the_same_transform(
    position_records: list[CaseRecord], monkeypatch: pytest.MonkeyPatch, augment: bool
) -> None:
    # Few slices: most patches have an end of the volume near.
    image = np.stack(np.meshgrid(np.arange(4), np.arange(44), np.arange(44), indexing="ij")).astype(np.float32)
    image[0] += 1
    monkeypatch.setattr("nnssl_plugin.data.patch_sampler.open_image", lambda _: image)
    locations = np.stack([np.arange(200) % 4, np.full(200, 22), np.full(200, 22)], axis=1)
    records = [CaseRecord(**{**r.__dict__, "locations": locations}) for r in position_records]
    source = loader(records, (16, 16), size=8, augment=augment, images=("clean",), neighbours=2)
    seed(0)
    slices = set()
    for _ in range(4):
        batch = draw(source)
        clean, neighbours, inside = batch.images["clean"], batch.neighbours, batch.foreground[:, 0]
        assert neighbours is not None
        assert neighbours.shape == (8, 5, 3, 16, 16)
        assert torch.equal(neighbours[:, 2], clean)
        for i in range(8):
            own = round(float(clean[i, 0, 8, 8]))
            slices.add(own)
            for j in range(5):
                number = neighbours[i, j, 0][inside[i]]
                torch.testing.assert_close(number, torch.full_like(number, min(max(own + j - 2, 1), 4)))
                # The other channels are positions in the slice: equal in every slice that moved alike.
                assert torch.equal(neighbours[i, j, 1:], clean[i, 1:])
    assert slices == {1, 2, 3, 4}


def test_a_missing_modality_is_empty_in_neighbours_too(folder: Path) -> None:
    records = [CaseRecord(**{**r.__dict__, "present": np.array([True, True, False, True])}) for r in index(folder)]
    neighbours = draw(loader(records, (16, 16), augment=True, images=("clean",), neighbours=1)).neighbours
    assert neighbours is not None
    assert (neighbours[:, :, 2] == 0).all()
    assert (neighbours[:, :, 0] != 0).any()


# ------------------------------------------------------------- side data


def age(record: CaseRecord) -> Mapping[str, Tensor]:
    return {"value": torch.tensor(float(record.table["age"]))}


def report(record: CaseRecord) -> Mapping[str, Tensor]:
    return {"value": torch.tensor(list(record.files["report"].read_bytes()[:4])), "length": torch.tensor(4)}


@pytest.fixture
def described(folder: Path, tmp_path: Path) -> list[CaseRecord]:
    """Cases with a row of a table and a report."""
    records = []
    for i, record in enumerate(index(folder)):
        file = tmp_path / f"{record.case}.txt"
        file.write_text(f"r{i:03d} and more")
        records.append(CaseRecord(**{**record.__dict__, "table": {"age": str(40 + i)}, "files": {"report": file}}))
    return records


def batches(source: PretrainingDataLoader, processes: int, count: int) -> Iterator[Any]:
    generator = in_worker_processes(source, processes, pin_memory=False)
    try:
        for _ in range(count):
            yield draw(generator)
    finally:
        if processes:
            generator._finish()


@pytest.mark.parametrize("processes", [0, 2])
def test_side_data_arrive_for_the_objective_that_asks(described: list[CaseRecord], processes: int) -> None:
    seed(0)
    source = loader(described, side_data={"of_age": age, "of_report": report})
    for batch in batches(source, processes, 3):
        assert set(batch.side_data) == {"of_age", "of_report"}
        number = batch.patient
        assert batch.side_data["of_age"]["value"].tolist() == (40 + number).tolist()
        assert [bytes(row).decode() for row in batch.side_data["of_report"]["value"].tolist()] == [
            f"r{i:03d}" for i in number.tolist()
        ]
        assert batch.side_data["of_report"]["length"].tolist() == [4] * 4


def test_side_data_belong_to_the_patches_of_their_objective(described: list[CaseRecord]) -> None:
    samplers: dict[Patches, PatchSampler] = {
        "plans": sampler(described, (16, 16, 16), 2),
        "patients": sampler(described, (8, 8, 8), 3),
    }
    source = PretrainingDataLoader(described, patient_indices(described), samplers, {"plans": {"of_age": age}})
    got = batches_from_loader(next(source), torch.device("cpu"))
    assert got["plans"].side_data["of_age"]["value"].shape == (2,)
    assert got["patients"].side_data == {}


@pytest.mark.parametrize("augment", [False, True])
def test_what_several_objectives_ask_for_shows_the_same_places(
    position_records: list[CaseRecord], monkeypatch: pytest.MonkeyPatch, augment: bool
) -> None:
    # Every voxel is a supervoxel of its own, numbered by its position.
    places = np.meshgrid(*[np.arange(44)] * 3, indexing="ij")
    numbers = (places[0] * 10000 + places[1] * 100 + places[2]).astype(np.int32)
    monkeypatch.setattr("nnssl_plugin.data.supervoxels.open_image", lambda _: numbers)
    records = [CaseRecord(**{**r.__dict__, "files": {"supervoxels": Path()}}) for r in position_records]
    wanted = {"images": ("clean", "augmented"), "second_crop": True, "neighbours": 1, "supervoxels": True}
    source = loader(records, (16, 16), size=8, augment=augment, **wanted)
    seed(0)
    first = draw(source)
    for crop in (first, first.second):
        assert crop is not None
        assert crop.supervoxels is not None
        assert crop.neighbours is not None
        assert crop.coordinates is not None
        clean, inside = crop.images["clean"], crop.foreground[:, 0]
        z, y, x = clean.round().unbind(1)
        same = (z * 10000 + y * 100 + x).long() == crop.supervoxels[:, 0]
        # A place between two voxels may be rounded either way.
        assert same[inside].float().mean() > 0.97
        assert torch.equal(crop.neighbours[:, 1], clean)
        seen = inside[:, None].expand(-1, 2, -1, -1)
        torch.testing.assert_close(crop.coordinates[seen], clean[:, 1:][seen], atol=1e-3, rtol=0)


def drawn(source: PretrainingDataLoader, number: int) -> dict[str, Any]:
    seed(number)
    return dict(next(source))


def test_a_spawned_process_draws_what_this_one_draws(described: list[CaseRecord]) -> None:
    source = loader(
        described, augment=True, images=("augmented", "clean", "denormalized"), second_crop=True, side_data={"o": age}
    )
    here = drawn(source, 7)
    # Where processes are spawned, as on Windows, the loader travels pickled.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(drawn, (source, 7))
    assert set(here) == set(there)
    for key, value in here.items():
        assert torch.equal(value, there[key]) if isinstance(value, Tensor) else value == there[key], key


@pytest.mark.parametrize("axes", [2, 3])
def test_nothing_around_a_patch_is_read_where_it_is_not_rotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axes: int
) -> None:
    """And the patch is the same to the bit as if it had been."""
    write_dataset(tmp_path, make_plans())
    records = index(tmp_path / "nnUNet_preprocessed" / NAME / f"nnUNetPlans_{axes}d")
    patch = (16, 16, 16) if axes == 3 else (32, 32)
    images = ("augmented", "clean", "denormalized")
    early = sampler(records, patch, augment=True, images=images, second_crop=True)
    late = sampler(records, patch, augment=True, images=images, second_crop=True)
    sizes: list[int] = []
    read = PatchSampler._read
    monkeypatch.setattr(
        PatchSampler, "_read", lambda self, *given: (sizes.append(int(given[-1][-1])), read(self, *given))[1]
    )
    for number in range(12):
        seed(number)
        first = early.draw(records[number % 6], number % 6)
        state = np.random.get_state()[1].tolist()
        seed(number)
        with monkeypatch.context() as patched:
            patched.setattr("nnssl_plugin.data.patch_sampler.stays_in_place", lambda rotation: False)
            second = late.draw(records[number % 6], number % 6)
        assert np.random.get_state()[1].tolist() == state
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name]), name
    assert set(sizes[0::4]) | set(sizes[1::4]) == {patch[-1], late.read_size[-1]}
    assert set(sizes[2::4]) | set(sizes[3::4]) == {late.read_size[-1]}


def test_patches_are_those_of_nnunets_transforms(tmp_path: Path) -> None:
    """But for foreground voxels whose interpolated mask is one half, of which either is as good."""
    write_dataset(tmp_path, make_plans())
    records = index(tmp_path / "nnUNet_preprocessed" / NAME / "nnUNetPlans_3d")
    ours, stock = (sampler(records, (16, 16, 16), augment=True, images=("clean", "augmented")) for _ in range(2))
    stock.augmentation = replace(stock.augmentation, rotation=None)
    differing = []
    for number in range(12):
        seed(number)
        first = ours.draw(records[number % 6], number % 6)
        seed(number)
        second = stock.draw(records[number % 6], number % 6)
        for name in ("images/clean", "images/augmented"):
            assert torch.equal(first[name], second[name]), name
        differing.append((first["foreground"] != second["foreground"]).float().mean().item())
    assert max(differing) < 0.02
    assert sum(share == 0 for share in differing) >= 6
