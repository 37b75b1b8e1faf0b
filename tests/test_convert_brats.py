import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.experiment_planning.verify_dataset_integrity import check_cases, verify_labels
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnssl_plugin.conversion import dataset_folder
from nnssl_plugin.conversion.brats_eras import ERAS
from nnssl_plugin.conversion.scan import ImageFile
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.content_hash import content_hash
from tests.scans import (
    SHAPE,
    brats_case,
    conversion_json,
    dataset_json,
    files_of,
    image,
    names_in,
    read,
    run_convert,
    segmentation,
    write,
)

MODALITIES = ("T1", "T1c", "T2", "FLAIR")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "my scans"


def verify(folder: Path) -> None:
    """What `nnUNetv2_plan_and_preprocess --verify_dataset_integrity` asks of every case, without its processes."""
    description = dataset_json(folder)
    labels = LabelManager(description["labels"], description.get("regions_class_order"))
    cases = description["nnssl_plugin"]["cases"]
    assert description["numTraining"] == len(cases)
    assert cases.keys() == description.get("dataset", cases).keys()
    for case in cases:
        images, label = files_of(folder, case)
        assert check_cases([str(path) for path in images], str(label), len(description["channel_names"]), SimpleITKIO)
        assert verify_labels(str(label), SimpleITKIO, labels.all_labels)


def entry(case: str, modalities=MODALITIES) -> dict:
    """What `dataset.json` says of a `brats_case` with these modalities."""
    return {
        "patient": case.rpartition("-")[0],
        "patient_known": True,
        "missing": [modality for modality in MODALITIES if modality not in modalities],
        "background": dict.fromkeys(modalities, 0.0),
        "content": {modality: content_hash(image(seed, case)) for seed, modality in enumerate(modalities)},
    }


def in_place(case: Path) -> dict:
    return {
        "images": [str(case / f"{case.name}-{suffix}.nii.gz") for suffix in ("t1n", "t1c", "t2w", "t2f")],
        "label": str(case / f"{case.name}-seg.nii.gz"),
    }


def test_labelled_cases_become_a_region_based_data_set(source: Path, raw: Path, capsys):
    brats_case(source / "deeply" / "nested", "BraTS-GLI-00000-000")
    brats_case(source, "BraTS-GLI-00002-000", labels=(2,))
    (source / "._BraTS-GLI-00002-000-t1n.nii.gz").write_bytes(b"left by macOS")

    assert run_convert("brats", "-i", source, "-d", 501) == 0

    folder = raw / "Dataset501_BraTS2023"
    assert names_in(raw) == [folder.name]
    assert dataset_json(folder) == {
        "channel_names": {"0": "T1", "1": "T1c", "2": "T2", "3": "FLAIR"},
        "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": [3]},
        "regions_class_order": [2, 1, 3],
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "licence": dataset_json(folder)["licence"],
        "converted_by": "nnssl_plugin convert brats",
        "name": "Dataset501_BraTS2023",
        "nnssl_plugin": {
            "unlabelled": False,
            "convention": "BraTS 2023 (GLI, MEN, MET, PED, SSA) and 2024 without resection cavity",
            "published_values": {},
            "cases": {
                "BraTS-GLI-00000-000": entry("BraTS-GLI-00000-000"),
                "BraTS-GLI-00002-000": entry("BraTS-GLI-00002-000"),
            },
        },
        "dataset": {
            "BraTS-GLI-00000-000": in_place(source / "deeply" / "nested" / "BraTS-GLI-00000-000"),
            "BraTS-GLI-00002-000": in_place(source / "BraTS-GLI-00002-000"),
        },
    }
    assert names_in(folder / "imagesTr") == names_in(folder / "labelsTr") == []
    verify(folder)
    output = capsys.readouterr().out
    assert "10 listed in place" in output
    assert "era 2023, recognised by the names" in output


def test_regions_mean_the_published_values():
    scheme = ERAS["2023"].scheme
    manager = LabelManager(dict(scheme.labels), scheme.regions_class_order)
    probability = np.zeros((3, 1, 1, 4))
    whole, core, enhancing = probability
    whole[..., 1:] = core[..., 2:] = enhancing[..., 3:] = 1
    # Nothing, whole tumour alone, tumour core alone and enhancing tumour: background, oedema, necrosis, enhancing.
    np.testing.assert_array_equal(manager.convert_probabilities_to_segmentation(probability).ravel(), [0, 2, 1, 3])


def test_copies_are_files_of_their_own(source: Path, raw: Path):
    case = brats_case(source, "BraTS-GLI-00000-000")
    assert run_convert("brats", "-i", source, "-d", 501, "--copy", "--name", "Mine") == 0
    copy = raw / "Dataset501_Mine" / "imagesTr" / "BraTS-GLI-00000-000_0000.nii.gz"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (case / "BraTS-GLI-00000-000-t1n.nii.gz").read_bytes()


def test_a_path_that_nnunet_would_expand_is_copied(tmp_path: Path, raw: Path, capsys):
    brats_case(tmp_path / "for $HOME", "BraTS-GLI-00000-000")
    assert run_convert("brats", "-i", tmp_path / "for $HOME", "-d", 501) == 0
    assert "5 copied" in capsys.readouterr().out
    verify(raw / "Dataset501_BraTS2023")


def test_unlabelled_cases_become_a_data_set_that_nnunet_can_fingerprint(source: Path, raw: Path):
    brats_case(source, "BraTS-GLI-00001-000", labels=None)
    brats_case(source, "BraTS-MET-00110-000", labels=None, suffixes=("t1n", "t2f"))

    assert run_convert("brats", "-i", source, "-d", 502) == 0

    folder = raw / "Dataset502_BraTS2023Unlabelled"
    assert dataset_json(folder)["nnssl_plugin"] == {
        "unlabelled": True,
        "cases": {
            "BraTS-GLI-00001-000": entry("BraTS-GLI-00001-000"),
            "BraTS-MET-00110-000": entry("BraTS-MET-00110-000", ("T1", "FLAIR")),
        },
    }
    assert not (folder / "splits_final.json").exists()
    verify(folder)
    images, label = files_of(folder, "BraTS-MET-00110-000")
    assert [bool(read(path).any()) for path in images] == [True, False, False, True]
    np.testing.assert_array_equal(read(label), image() > 0)
    *_, statistics, _ = DatasetFingerprintExtractor.analyze_case(
        [str(path) for path in images], str(label), SimpleITKIO
    )
    assert np.isfinite(statistics[0]["mean"])


def test_labelled_and_unlabelled_cases_never_share_a_data_set(source: Path, raw: Path, capsys):
    brats_case(source, "BraTS-GLI-00000-000")
    brats_case(source, "BraTS-GLI-00001-000", labels=None)
    brats_case(source, "BraTS-GLI-00002-000", suffixes=("t1n", "t1c"))
    with pytest.raises(InputError, match=r"1 of 3 cases .*--unlabelled-id"):
        run_convert("brats", "-i", source, "-d", 501)
    with pytest.raises(InputError, match="unlabelled-id 501"):
        run_convert("brats", "-i", source, "-d", 501, "--unlabelled-id", 501)
    assert names_in(raw) == []

    assert run_convert("brats", "-i", source, "-d", 501, "--unlabelled-id", 502) == 0
    labelled, unlabelled = raw / "Dataset501_BraTS2023", raw / "Dataset502_BraTS2023Unlabelled"
    assert list(dataset_json(labelled)["dataset"]) == ["BraTS-GLI-00000-000"]
    assert list(dataset_json(unlabelled)["nnssl_plugin"]["cases"]) == ["BraTS-GLI-00001-000", "BraTS-GLI-00002-000"]
    assert dataset_json(unlabelled)["labels"] == {"background": 0, "placeholder (image foreground)": 1}
    # The label of the incomplete case must not leak into the unlabelled data set.
    np.testing.assert_array_equal(read(unlabelled / "labelsTr" / "BraTS-GLI-00002-000.nii.gz"), image() > 0)
    output = capsys.readouterr().out
    assert "without their label, because a modality is missing: BraTS-GLI-00002-000" in output
    assert "align --pretrain 502 --target 501" in output


def spoil_spacing(case: Path) -> None:
    write(case / f"{case.name}-t2w.nii.gz", image(), spacing=(1, 1.5, 2))


def spoil_origin(case: Path) -> None:
    write(case / f"{case.name}-t2w.nii.gz", image(), origin=(0, -239, 0.25))


def spoil_direction(case: Path) -> None:
    write(case / f"{case.name}-t2w.nii.gz", image(), direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))


def spoil_size_of_label(case: Path) -> None:
    write(case / f"{case.name}-seg.nii.gz", np.pad(segmentation(1), 1))


def spoil_dimensions(case: Path) -> None:
    write(case / f"{case.name}-t2w.nii.gz", image()[0], spacing=(1, 1), origin=(0, 0))


def spoil_label_value(case: Path) -> None:
    write(case / f"{case.name}-seg.nii.gz", segmentation(1, 2, 4))


def spoil_label_type(case: Path) -> None:
    write(case / f"{case.name}-seg.nii.gz", segmentation(1).astype(np.float32) * 0.5)


def spoil_file(case: Path) -> None:
    (case / f"{case.name}-t2w.nii.gz").write_bytes(b"no image")


def spoil_half(case: Path) -> None:
    path = case / f"{case.name}-t2w.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])


def spoil_bytes(case: Path) -> None:
    # Large enough that its header can be read without its end, where the checksum is.
    noise = np.random.default_rng(0).integers(0, 2**15, (64, 64, 64), np.int16)
    path = write(case / f"{case.name}-t2w.nii.gz", noise)
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)


def spoil_length(case: Path) -> None:
    (case / f"{case.name}-t2w.nii.gz").unlink()
    path = write(case / f"{case.name}-t2w.nii", image())
    path.write_bytes(path.read_bytes()[:-40])


def spoil_modality(case: Path) -> None:
    (case / f"{case.name}-t2w.nii.gz").unlink()


def spoil_by_doubling(case: Path) -> None:
    write(case.parent / "elsewhere" / f"{case.name}-t2w.nii.gz", image())


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoil_spacing, r"T2: .*-t2w.nii.gz is not on the grid of T1: spacing .* differs by up to 0.5 mm"),
        (spoil_origin, r"T2: .* origin \(0, -239, 0.25\) instead of \(0, -239, 0\): differs by up to 0.25 mm"),
        (spoil_direction, "T2: .* direction .* differs by up to 2"),
        (spoil_size_of_label, r"label: .* size \(10, 9, 8\) instead of \(8, 7, 6\) voxels"),
        (spoil_dimensions, "T2: .*-t2w.nii.gz has 2 dimensions"),
        (spoil_label_value, r"has the values \[4\]; known are \[0, 1, 2, 3\]"),
        (spoil_label_type, "not whole numbers, like 0.5"),
        (spoil_file, "T2: .*-t2w.nii.gz cannot be read"),
        (spoil_half, "T2: .*-t2w.nii.gz is truncated or damaged"),
        (spoil_bytes, "T2: .*-t2w.nii.gz is truncated or damaged: CRC"),
        (spoil_length, "T2: .*-t2w.nii is truncated: it holds"),
        (spoil_modality, "lacks T2; a labelled case needs every modality"),
        (spoil_by_doubling, "2 files for one T2: .*elsewhere"),
    ],
)
def test_a_bad_case_is_left_out_and_named(source: Path, raw: Path, capsys, spoil, complaint):
    brats_case(source, "BraTS-GLI-00000-000")
    spoil(brats_case(source, "BraTS-GLI-00002-000"))

    with pytest.raises(InputError, match=f"BraTS-GLI-00002-000: .*{complaint}"):
        run_convert("brats", "-i", source, "-d", 501, "--strict")
    assert names_in(raw) == []

    assert run_convert("brats", "-i", source, "-d", 501) == 1
    assert list(dataset_json(raw / "Dataset501_BraTS2023")["nnssl_plugin"]["cases"]) == ["BraTS-GLI-00000-000"]
    assert "left out: 1 cases\n  BraTS-GLI-00002-000: " in capsys.readouterr().out


def test_rounded_headers_are_one_geometry(source: Path, raw: Path):
    case = brats_case(source, "BraTS-GLI-00000-000")
    write(case / f"{case.name}-t2w.nii.gz", image(), spacing=(1.000001, 1, 2), origin=(0, -239.0004, 0))
    assert run_convert("brats", "-i", source, "-d", 501, "--strict") == 0


def test_nothing_usable_is_an_error(source: Path, raw: Path):
    spoil_file(brats_case(source, "BraTS-GLI-00002-000"))
    with pytest.raises(InputError, match=r"nothing was written\nleft out: 1 cases\n  BraTS-GLI-00002-000"):
        run_convert("brats", "-i", source, "-d", 501)
    assert names_in(raw) == []


def test_all_segmentations_empty(source: Path, raw: Path):
    brats_case(source, "BraTS-GLI-00002-000", labels=())
    with pytest.raises(InputError, match="every segmentation is empty"):
        run_convert("brats", "-i", source, "-d", 501)


def test_a_folder_of_something_else(source: Path, raw: Path):
    write(source / "x.nii.gz", image())
    with pytest.raises(InputError, match=r"CASE-t1n.nii.gz.*convert folder"):
        run_convert("brats", "-i", source, "-d", 501)
    with pytest.raises(InputError, match="there is no folder"):
        run_convert("brats", "-i", source / "absent", "-d", 501)
    with pytest.raises(InputError, match="named as in BraTS 2021"):
        run_convert("brats", "-i", source, "-d", 501, "--era", "2021", "--unlabelled-id", 502)


def test_an_id_or_name_that_cannot_be_had(source: Path, raw: Path, nnunet_folders: Path):
    brats_case(source, "BraTS-GLI-00000-000")
    for arguments, complaint in (
        ((0,), "1 to 999"),
        ((1000,), "1 to 999"),
        ((501, "--name", "a b/c"), "'a b/c'"),
        ((137,), "BraTS21"),
        ((18,), "RibFrac"),
        ((4,), "Decathlon"),
    ):
        with pytest.raises(InputError, match=complaint):
            run_convert("brats", "-i", source, "-d", *arguments)
    (nnunet_folders / "nnUNet_results" / "Dataset501_Other").mkdir()
    for options in ((), ("--overwrite",)):
        with pytest.raises(InputError, match=r"501 is taken by .*nnUNet_results.Dataset501_Other"):
            run_convert("brats", "-i", source, "-d", 501, *options)


def test_overwrite_replaces_the_whole_data_set(source: Path, raw: Path, nnunet_folders: Path, capsys):
    brats_case(source, "BraTS-GLI-00000-000")
    brats_case(source, "BraTS-GLI-00002-000")
    assert run_convert("brats", "-i", source, "-d", 501, "--copy") == 0
    stale = nnunet_folders / "nnUNet_preprocessed" / "Dataset501_BraTS2023"
    stale.mkdir()
    for path in (source / "BraTS-GLI-00002-000").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="--overwrite"):
        run_convert("brats", "-i", source, "-d", 501, "--copy")
    capsys.readouterr()

    assert run_convert("brats", "-i", source, "-d", 501, "--copy", "--overwrite") == 0
    assert names_in(raw) == ["Dataset501_BraTS2023"]
    expected = ["cases.csv", "conversion.json", "dataset.json", "imagesTr", "labelsTr"]
    assert names_in(raw / "Dataset501_BraTS2023") == expected
    assert names_in(raw / "Dataset501_BraTS2023" / "labelsTr") == ["BraTS-GLI-00000-000.nii.gz"]
    output = capsys.readouterr().out
    assert f"{stale} was made from the data set that was replaced" in output
    assert "no split" in output


def test_the_same_conversion_again_changes_nothing(source: Path, raw: Path, capsys):
    brats_case(source, "BraTS-GLI-00000-000")
    spoil_modality(brats_case(source, "BraTS-GLI-00002-000"))
    arguments = ("brats", "-i", source, "-d", 501)
    assert run_convert(*arguments) == 1
    folder = raw / "Dataset501_BraTS2023"
    before = (folder / "conversion.json").stat().st_mtime_ns
    capsys.readouterr()
    assert run_convert(*arguments) == 1
    assert "nothing to do" in capsys.readouterr().out
    assert (folder / "conversion.json").stat().st_mtime_ns == before
    for changed in (("--copy",), ("--labels", "classes")):
        with pytest.raises(InputError, match="exists; choose another id, or replace it with --overwrite"):
            run_convert(*arguments, *changed)


def test_what_fails_in_between_leaves_the_old_data_set_and_is_gone_on_with(
    source: Path, raw: Path, monkeypatch, capsys
):
    brats_case(source, "BraTS-GLI-00000-000", labels=None)
    assert run_convert("brats", "-i", source, "-d", 502) == 0
    before = dataset_json(raw / "Dataset502_BraTS2023Unlabelled")
    brats_case(source, "BraTS-GLI-00001-000", labels=None)

    def full_disk(*_, **__):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(dataset_folder, "generate_dataset_json", full_disk)
        with pytest.raises(OSError, match="no space left"):
            run_convert("brats", "-i", source, "-d", 502, "--overwrite")
    assert names_in(raw) == [".conversion_502.unfinished", "Dataset502_BraTS2023Unlabelled"]
    assert dataset_json(raw / "Dataset502_BraTS2023Unlabelled") == before

    # One source has changed and one file is gone since; all else must not be read or written again.
    work = raw / ".conversion_502.unfinished"
    labels = work / "Dataset502_BraTS2023Unlabelled" / "labelsTr"
    kept = (labels / "BraTS-GLI-00000-000.nii.gz").stat().st_mtime_ns
    write(source / "BraTS-GLI-00001-000" / "BraTS-GLI-00001-000-t1n.nii.gz", image(99))
    loaded = []
    monkeypatch.setattr(
        ImageFile, "load", lambda scan, load=ImageFile.load: loaded.append(scan.path.name) or load(scan)
    )
    assert run_convert("brats", "-i", source, "-d", 502, "--overwrite") == 0
    assert "continuing the interrupted conversion" in capsys.readouterr().out
    assert {name.split("-t")[0] for name in loaded} == {"BraTS-GLI-00001-000"}
    assert names_in(raw) == ["Dataset502_BraTS2023Unlabelled"]
    folder = raw / "Dataset502_BraTS2023Unlabelled"
    assert (folder / "labelsTr" / "BraTS-GLI-00000-000.nii.gz").stat().st_mtime_ns == kept
    assert list(dataset_json(folder)["dataset"]) == ["BraTS-GLI-00000-000", "BraTS-GLI-00001-000"]


def test_other_settings_start_afresh(source: Path, raw: Path, monkeypatch, capsys):
    brats_case(source, "BraTS-GLI-00000-000")

    def full_disk(*_, **__):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(dataset_folder, "generate_dataset_json", full_disk)
        with pytest.raises(OSError, match="no space left"):
            run_convert("brats", "-i", source, "-d", 501)
    capsys.readouterr()
    assert run_convert("brats", "-i", source, "-d", 501, "--copy") == 0
    output = capsys.readouterr().out
    assert "going on" not in output
    assert "5 copied" in output


def test_a_constant_image_counts_as_missing(source: Path, raw: Path, capsys):
    for name in ("BraTS-GLI-00000-000", "BraTS-GLI-00001-000"):
        brats_case(source, name, labels=None)
    for suffix in ("t1n", "t1c", "t2w", "t2f"):
        write(source / "BraTS-GLI-00001-000" / f"BraTS-GLI-00001-000-{suffix}.nii.gz", np.full(SHAPE, 7, np.int16))
    write(source / "BraTS-GLI-00000-000" / "BraTS-GLI-00000-000-t1c.nii.gz", np.full(SHAPE, 7, np.int16))
    assert run_convert("brats", "-i", source, "-d", 502) == 1
    assert "BraTS-GLI-00001-000: every image of the case is constant" in capsys.readouterr().out
    folder = raw / "Dataset502_BraTS2023Unlabelled"
    assert dataset_json(folder)["nnssl_plugin"]["cases"]["BraTS-GLI-00000-000"]["missing"] == ["T1c"]
    assert not read(files_of(folder, "BraTS-GLI-00000-000")[0][1]).any()


def test_what_was_decided_is_on_record(source: Path, raw: Path):
    brats_case(source, "BraTS-GLI-00000-000")
    spoil_label_value(brats_case(source, "BraTS-GLI-00002-000"))
    assert run_convert("brats", "-i", source, "-d", 501) == 1
    record = conversion_json(raw / "Dataset501_BraTS2023")
    assert record["decisions"][0].startswith("era 2023, recognised by the names")
    assert list(record["left out"]) == ["BraTS-GLI-00002-000"]
    flair = record["cases"]["BraTS-GLI-00000-000"]["files"]["FLAIR"]
    assert flair["how"] == "listed in place"
    assert flair["background"] == 0
    assert flair["foreground"] == pytest.approx((image(3) != 0).mean())


def test_without_nnunet_raw(source: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("nnUNet_raw", raising=False)
    with pytest.raises(InputError, match="nnUNet_raw is not set"):
        run_convert("brats", "-i", source, "-d", 501)


def test_the_script_is_the_command(source: Path, raw: Path):
    brats_case(source, "BraTS-GLI-00000-000")
    script = Path(__file__).parents[1] / "dataset_conversion" / "brats.py"
    command = [sys.executable, str(script), "-i", str(source), "-d"]
    assert subprocess.run([*command, "501"], env=os.environ, check=False).returncode == 0
    assert names_in(raw) == ["Dataset501_BraTS2023"]
    again = subprocess.run(
        [*command, "501", "--copy"], env=os.environ, check=False, capture_output=True, encoding="utf-8"
    )
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert "Traceback" not in again.stderr


def test_real_cases(real_data: Path, raw: Path):
    assert run_convert("brats", "-i", real_data / "brats2023", "-d", 501) == 0
    assert run_convert("brats", "-i", real_data / "brats2023-unlabelled", "-d", 502) == 0
    label = read(files_of(raw / "Dataset502_BraTS2023Unlabelled", "BraTS-GLI-00001-000")[1])
    # A brain fills about a sixth of a BraTS volume.
    assert 0.1 < label.mean() < 0.25
    verify(raw / "Dataset501_BraTS2023")


@pytest.mark.slow
def test_nnunet_plans_and_preprocesses_what_was_converted(source: Path, raw: Path, nnunet_folders: Path):
    size = (40, 44, 36)
    for number, labels in enumerate(((1, 2, 3), (2,), None, None)):
        case = brats_case(source, f"BraTS-GLI-0000{number}-000", labels=labels)
        for path in case.iterdir():
            small = sitk.ReadImage(str(path))
            interpolator = sitk.sitkNearestNeighbor
            spacing = [n * s / m for n, s, m in zip(small.GetSize(), small.GetSpacing(), size, strict=True)]
            large = sitk.Resample(
                small, size, sitk.Transform(), interpolator, small.GetOrigin(), spacing, small.GetDirection()
            )
            sitk.WriteImage(large, str(path))
    assert run_convert("brats", "-i", source, "-d", 501, "--unlabelled-id", 502) == 0
    plan = Path(sys.executable).with_name("nnUNetv2_plan_and_preprocess")
    arguments = ["-d", "501", "502", "-c", "2d", "-np", "1", "-npfp", "1", "--verify_dataset_integrity"]
    subprocess.run([plan, *arguments], env=os.environ, check=True)
    preprocessed = nnunet_folders / "nnUNet_preprocessed"
    assert (preprocessed / "Dataset501_BraTS2023" / "splits_final.json").exists()
    for name, cases in (("Dataset501_BraTS2023", "01"), ("Dataset502_BraTS2023Unlabelled", "23")):
        for number in cases:
            assert (preprocessed / name / "nnUNetPlans_2d" / f"BraTS-GLI-0000{number}-000.b2nd").exists()
