"""A scan is known by its voxels: under two names, as two modalities, in two releases, in two data sets."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nnssl_plugin.images.content_hash import content_hash
from nnssl_plugin.nnunet.dataset_json import content_of, is_patient_known, side_files_of, table_row_of, without_cases
from nnssl_plugin.nnunet.patients import DatasetCases, patients_across
from nnssl_plugin.nnunet.same_patient import first_names
from tests.brats_trees import SEEDS, path_of, write_case
from tests.scans import conversion_json, dataset_json, image, run_convert, segmentation, write

PATTERNS = ("--modality", "T1=*_t1.nii.gz", "FLAIR=*_flair.nii.gz")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "scans"


def labelled(folder: Path, case: str) -> None:
    for seed, modality in enumerate(("t1", "flair")):
        write(folder / f"{case}_{modality}.nii.gz", image(seed, case))
    write(folder / f"{case}_seg.nii.gz", segmentation(1))


def convert(source: Path, dataset_id: int = 505, *options: object) -> int:
    return run_convert("folder", "-i", source, "-d", dataset_id, *PATTERNS, *options)


class TestContentHash:
    def test_name_header_and_type_do_not_matter(self, tmp_path: Path) -> None:
        voxels = image()
        assert content_hash(voxels) == content_hash(voxels.astype(np.float32)) == content_hash(voxels.astype(">f8"))
        assert content_hash(-0.0 * voxels) == content_hash(0 * voxels)
        assert content_hash(np.asfortranarray(voxels)) == content_hash(voxels)

    def test_voxels_and_shape_do(self) -> None:
        voxels = image()
        changed = voxels.copy()
        changed[3, 3, 3] += 1
        hashes = {content_hash(one) for one in (voxels, changed, voxels[::-1], voxels.reshape(voxels.shape[::-1]))}
        assert len(hashes) == 4


def test_names_that_share_a_mark_directly_or_through_others() -> None:
    assert first_names({"c": {1}, "a": {2, 3}, "b": {3, 4}, "d": {1, 4}, "e": set()}) == {
        **dict.fromkeys("cabd", "c"),
        "e": "e",
    }


def test_one_scan_under_two_names_is_one_patient_in_every_split(source: Path, raw: Path, capsys) -> None:
    for case in "abcdefyz":
        labelled(source, case)
    shutil.copy(source / "y_flair.nii.gz", source / "z_flair.nii.gz")
    # Another file: other bytes and another type.
    write(source / "z_t1.nii.gz", image(0, "a").astype(np.float32))
    assert convert(source, 505, "--label", "*_seg.nii.gz") == 0
    output = capsys.readouterr().out
    assert "8 labelled cases of 6 patients" in output
    assert "one scan under several names, counted as one patient: a and z (T1)" in output
    assert "counted as one patient: y and z (FLAIR)" in output
    (folder,) = raw.glob("Dataset*")
    patients = {case: entry["patient"] for case, entry in dataset_json(folder)["nnssl_plugin"]["cases"].items()}
    assert patients == {**{case: case for case in "abcdef"}, "y": "a", "z": "a"}
    splits = json.loads((folder / "splits_final.json").read_text(encoding="utf-8"))
    assert len(splits) == 5
    for fold in splits:
        assert sorted(fold["train"] + fold["val"]) == [*"abcdefyz"]
        assert len({part for part in ("train", "val") if set("ayz") & set(fold[part])}) == 1
    assert len(conversion_json(folder)["warnings"]) == 2
    assert content_of(dataset_json(folder), "z")["T1"] == content_hash(image(0, "a"))
    assert conversion_json(folder)["cases"]["a"]["files"]["T1"]["content"] == content_hash(image(0, "a"))


def test_patients_that_were_said_give_the_name(source: Path, raw: Path) -> None:
    for case in ("a1", "b1", "b2"):
        labelled(source, case)
    shutil.copy(source / "b1_t1.nii.gz", source / "a1_t1.nii.gz")
    rows = [
        f"{case},{patient},{modality.upper()},{case}_{modality}.nii.gz"
        for case, patient in (("a1", ""), ("b1", "B"), ("b2", "B"))
        for modality in ("t1", "flair")
    ]
    (source / "t.csv").write_text("\n".join(["case,patient,modality,path", *rows]))
    assert run_convert("folder", "-i", source, "-d", 505, "--csv", source / "t.csv") == 0
    (folder,) = raw.glob("Dataset*")
    description = dataset_json(folder)
    assert {entry["patient"] for entry in description["nnssl_plugin"]["cases"].values()} == {"B"}
    assert all(is_patient_known(description, case) for case in ("a1", "b1", "b2"))


def test_one_scan_as_two_modalities(source: Path, raw: Path, capsys) -> None:
    labelled(source, "a")
    labelled(source, "b")
    (source / "a_flair.nii.gz").write_bytes(gzip.compress(gzip.decompress((source / "a_t1.nii.gz").read_bytes()), 1))
    assert convert(source) == 1
    assert "a: T1 and FLAIR have the same voxels: one of the files is a copy of another" in capsys.readouterr().out


def test_one_scan_as_other_modalities_of_other_cases(source: Path, raw: Path, capsys) -> None:
    labelled(source, "a")
    labelled(source, "b")
    shutil.copy(source / "a_t1.nii.gz", source / "b_flair.nii.gz")
    assert convert(source) == 0
    assert "a and b (T1 of a = FLAIR of b)" in capsys.readouterr().out


def test_one_scan_in_many_cases(source: Path, raw: Path, capsys) -> None:
    """An atlas, say: the cases cannot be kept apart, which is said in one line."""
    for number in range(8):
        labelled(source, f"case{number}")
        write(source / f"case{number}_flair.nii.gz", image(1, "atlas"))
    assert convert(source) == 0
    output = capsys.readouterr().out
    assert "case0 and case1 and case2 and case3 and case4 and 3 more (FLAIR)\n" in output
    assert "8 unlabelled cases of 1 patients" in output


def test_equal_segmentations_and_constant_images_are_no_identity(source: Path, raw: Path, capsys) -> None:
    for case in "ab":
        labelled(source, case)
        write(source / f"{case}_flair.nii.gz", np.zeros_like(image()))
    assert convert(source) == 0
    assert "one scan under several names" not in capsys.readouterr().out


def test_one_patient_in_two_releases(tmp_path: Path, raw: Path, capsys) -> None:
    write_case(tmp_path / "new", "2023", "BraTS-GLI-00005-000")
    write_case(tmp_path / "old", "2021", "BraTS2021_00001")
    for role, seed in SEEDS.items():
        write(path_of(tmp_path / "old", "2021", "BraTS2021_00001", role), image(seed, "BraTS-GLI-00005-000"))
    write_case(tmp_path / "old", "2021", "BraTS2021_00002")
    assert run_convert("brats", "-i", tmp_path / "new", "-d", 501) == 0
    assert "WARNING" not in capsys.readouterr().out
    assert run_convert("brats", "-i", tmp_path / "old", "-d", 502) == 0
    said = "1 cases have scans of Dataset501_BraTS2023 (BraTS2021_00001 is BraTS-GLI-00005-000 there)"
    assert said in capsys.readouterr().out
    datasets = []
    for folder in (raw / "Dataset501_BraTS2023", raw / "Dataset502_BraTS2021"):
        description = dataset_json(folder)
        datasets.append(DatasetCases(folder.name, description, tuple(description["nnssl_plugin"]["cases"])))
    patients = patients_across(datasets)
    assert list(patients.values()) == ["BraTS-GLI-00005", "BraTS-GLI-00005", "BraTS2021_00002"]


def described(**cases: dict) -> dict:
    return {"nnssl_plugin": {"cases": cases}}


class TestPatientsAcrossDataSets:
    def names(self, first: dict, second: dict) -> list[str]:
        one = DatasetCases("A", first, ("x",))
        return list(patients_across([one, DatasetCases("B", second, ("x",))]).values())

    def test_equal_case_names_alone_are_two_patients(self) -> None:
        unsaid = described(x={"patient": "x", "patient_known": False})
        assert self.names(unsaid, unsaid) == self.names({}, {}) == ["x", "x (B)"]

    def test_one_of_them_says_so(self) -> None:
        said = described(x={"patient": "x", "patient_known": True})
        assert self.names(said, {}) == self.names({}, said) == self.names(said, said) == ["x", "x"]

    def test_version_0_2_0_did_not_record_who_said_so(self) -> None:
        session = described(x={"patient": "p"})
        assert self.names(session, session) == ["p", "p"]
        plain = described(x={"patient": "x"})
        assert self.names(plain, plain) == ["x", "x (B)"]
        brats = {**plain, "converted_by": "nnssl_plugin convert brats"}
        assert self.names(brats, brats) == ["x", "x"]

    def test_other_patients_of_one_name_with_scans_in_common(self) -> None:
        first = described(x={"patient": "p", "patient_known": True, "content": {"T1": "1"}})
        second = described(x={"patient": "q", "patient_known": True, "content": {"T1": "1"}})
        assert self.names(first, second) == ["p", "p"]


def test_what_is_known_of_a_case_stays_with_the_data_set_and_is_never_shared(source: Path, raw: Path, capsys) -> None:
    labelled(source, "a")
    labelled(source, "b")
    rows = [
        "case,patient,modality,path,age,scanned on",
        "a,,T1,a_t1.nii.gz,61,2001-01-01",
        "a,,FLAIR,a_flair.nii.gz,61,2002-02-02",
        "b,,T1,b_t1.nii.gz,,",
    ]
    (source / "t.csv").write_text("\n".join(rows))
    assert run_convert("folder", "-i", source, "-d", 505, "--csv", source / "t.csv") == 0
    assert "columns not kept, because a case has several values in them: scanned on" in capsys.readouterr().out
    (folder,) = raw.glob("Dataset*")
    description = dataset_json(folder)
    assert table_row_of(description, "a") == {"age": "61"}
    assert table_row_of(description, "b") == side_files_of(description, "a") == table_row_of({}, "a") == {}
    files = described(a={"files": {"report": "a.txt"}})
    assert side_files_of(files, "a") == {"report": "a.txt"}
    assert without_cases({**description, **files}) == {
        **{key: description[key] for key in ("channel_names", "labels", "file_ending", "numTraining")},
        "nnssl_plugin": {"unlabelled": False},
    }


def test_a_data_set_whose_description_is_damaged_is_passed_over(source: Path, raw: Path) -> None:
    labelled(source, "a")
    for number, content in enumerate(("{", "[]", '{"nnssl_plugin": 3}')):
        (raw / f"Dataset60{number}_Other").mkdir()
        (raw / f"Dataset60{number}_Other" / "dataset.json").write_text(content)
    assert convert(source) == 0
