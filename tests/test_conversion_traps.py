"""What folders of real users hold and no data set's description says: each was converted wrongly, or silently not, once."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.conversion.folder_listing import files_below
from nnssl_plugin.errors import InputError
from tests.brats_trees import SEEDS, path_of, write_case, write_tree
from tests.dicom_trees import write_chaos_t1, write_chaos_t2
from tests.scans import (
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

PATTERNS = ("--modality", "T1=*_t1.nii.gz", "FLAIR=*_flair.nii.gz")


def pair(folder: Path, case: str, ending: str = ".nii.gz") -> None:
    write(folder / f"{case}_t1{ending}", image(0, case))
    write(folder / f"{case}_flair{ending}", image(1, case))


class TestNothingIsLost:
    def test_sources_in_the_data_set_that_would_be_replaced(self, source: Path, raw: Path) -> None:
        folder = raw / "Dataset505_Mine"
        file = write(folder / "imagesTr" / "a_0000.nii.gz", image())
        (source / "link").symlink_to(folder, target_is_directory=True)
        for given in (folder, source):
            with pytest.raises(InputError, match=r"a_0000\.nii\.gz is part of a data set that would be"):
                run_convert(
                    "folder", "-i", given, "-d", 505, "--name", "Mine", "--modality", "T1=*_0000.nii.gz", "--overwrite"
                )
        assert file.is_file()

    def test_linked_folders_are_searched_and_a_link_upwards_is_not_followed(self, source: Path, tmp_path: Path) -> None:
        elsewhere = brats_case(tmp_path / "elsewhere", "BraTS-GLI-00000-000")
        (source / "case").symlink_to(elsewhere, target_is_directory=True)
        (source / "case" / "up").symlink_to(tmp_path, target_is_directory=True)
        (source / "self").symlink_to(source, target_is_directory=True)
        (source / "Thumbs.db").touch()
        inside = [path.relative_to(source).as_posix() for path in files_below(source)]
        assert [name for name in inside if name.count("/") == 1] == [
            f"case/BraTS-GLI-00000-000-{suffix}.nii.gz" for suffix in ("seg", "t1c", "t1n", "t2f", "t2w")
        ]

    def test_a_link_to_nothing_is_named(self, source: Path, raw: Path, capsys) -> None:
        brats_case(source, "BraTS-GLI-00000-000")
        broken = brats_case(source, "BraTS-GLI-00001-000") / "BraTS-GLI-00001-000-seg.nii.gz"
        broken.unlink()
        broken.symlink_to(source / "nowhere")
        assert run_convert("brats", "-i", source, "-d", 501) == 1
        assert f"BraTS-GLI-00001-000: label: {broken} is a link to nothing" in capsys.readouterr().out

    @pytest.mark.parametrize("ending", [".NII.GZ", ".NII"])
    def test_endings_in_capitals(self, source: Path, raw: Path, ending: str) -> None:
        for file in brats_case(source, "BraTS-GLI-00000-000").iterdir():
            plain = file.with_name(file.name.replace(".nii.gz", ending.lower()))
            sitk.WriteImage(sitk.ReadImage(str(file)), str(plain))
            plain.rename(plain.with_name(plain.name.replace(ending.lower(), ending)))
            file.unlink(missing_ok=True)
        assert run_convert("brats", "-i", source, "-d", 501) == 0
        images, label = files_of(raw / "Dataset501_BraTS2023", "BraTS-GLI-00000-000")
        np.testing.assert_array_equal(read(images[3]), image(3, "BraTS-GLI-00000-000"))
        np.testing.assert_array_equal(read(label), segmentation(1, 2, 3))

    def test_a_truncated_file_whose_ending_is_in_capitals(self, source: Path, raw: Path) -> None:
        file = write(source / "a_t1.nii", image())
        file.write_bytes(file.read_bytes()[:-50])
        file.rename(source / "a_T1.NII")
        with pytest.raises(InputError, match=r"a_T1\.NII is truncated"):
            run_convert("folder", "-i", source, "-d", 505, "--modality", "T1=*_T1.NII")

    def test_headers_in_files_of_their_own(self, source: Path, raw: Path) -> None:
        write(source / "a_t1.hdr", image())
        with pytest.raises(InputError, match=r"one of a pair of \.hdr and \.img"):
            run_convert("folder", "-i", source, "-d", 505, "--modality", "T1=*_t1.hdr")

    def test_a_finished_data_set_that_lost_files_is_made_again(self, source: Path, raw: Path) -> None:
        pair(source, "a")
        arguments = ("folder", "-i", source, "-d", 505, "--copy", *PATTERNS)
        assert run_convert(*arguments) == 0
        (made,) = raw.iterdir()
        (made / "labelsTr" / "a.nii.gz").unlink()
        with pytest.raises(InputError, match="exists; choose another id, or replace it"):
            run_convert(*arguments)

    @pytest.mark.parametrize("record", ['{"digest": "1"}', "{", "[]"])
    def test_a_data_set_of_an_older_version_or_with_a_damaged_record_is_not_taken_for_this_one(
        self, source: Path, raw: Path, record: str
    ) -> None:
        pair(source, "a")
        arguments = ("folder", "-i", source, "-d", 505, *PATTERNS)
        assert run_convert(*arguments) == 0
        (made,) = raw.glob("Dataset*")
        (made / "conversion.json").write_text(record)
        with pytest.raises(InputError, match="exists; choose another id, or replace it"):
            run_convert(*arguments)
        assert run_convert(*arguments, "--overwrite") == 0


class TestInterrupted:
    """Runs of which one was interrupted before its data set was moved into place."""

    def interrupt(self, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("nnssl_plugin.conversion.convert.move_into_place", self._stop)
            with pytest.raises(KeyboardInterrupt):
                run_convert(*arguments)

    @staticmethod
    def _stop(*_: object) -> None:
        raise KeyboardInterrupt

    def test_cases_that_have_gone_are_not_in_the_data_set(self, source: Path, raw: Path, monkeypatch) -> None:
        for case in "abc":
            pair(source, case)
        arguments = ("folder", "-i", source, "-d", 505, "--copy", *PATTERNS)
        self.interrupt(monkeypatch, *arguments)
        work = raw / ".conversion_505.unfinished" / "Dataset505_scansUnlabelled"
        (work / "imagesTr" / ".part_c_0000.nii.gz").touch()
        for file in source.glob("a_*"):
            file.unlink()
        assert run_convert(*arguments) == 0
        (made,) = raw.iterdir()
        assert names_in(made / "imagesTr") == [f"{case}_000{i}.nii.gz" for case in "bc" for i in range(2)]
        assert names_in(made / "labelsTr") == ["b.nii.gz", "c.nii.gz"]

    def test_another_ending_than_before(self, source: Path, raw: Path, monkeypatch) -> None:
        table = source / "files.csv"
        for case in "abc":
            pair(source, case)
        for case in "defgh":
            pair(source, case, ".mha")

        def rows(cases: str, ending: str) -> str:
            return "".join(f"{c},,{m},{c}_{m.lower()}{ending}\n" for c in cases for m in ("T1", "FLAIR"))

        table.write_text("case,patient,modality,path\n" + rows("abc", ".nii.gz"))
        self.interrupt(monkeypatch, "folder", "-i", source, "-d", 505, "--csv", table)
        with table.open("a") as file:
            file.write(rows("defgh", ".mha"))
        assert run_convert("folder", "-i", source, "-d", 505, "--csv", table) == 0
        (made,) = raw.iterdir()
        assert dataset_json(made)["file_ending"] == ".mha"
        for case in "abcdefgh":
            images, label = files_of(made, case)
            assert {path.suffix for path in [*images, label]} == {".mha"}


class TestNothingIsGuessed:
    def test_names_of_two_meanings_beside_names_of_one(self, source: Path, raw: Path) -> None:
        write_case(source, "2023", "BraTS-GLI-00002-000")
        write_case(source, "2024-ped", "brats-ped-00002-000", values=(1, 2, 3))
        with pytest.raises(InputError, match=r"5 files of 2023 or 2024-ped.*move each kind to a folder of its own"):
            run_convert("brats", "-i", source, "-d", 501)

    def test_two_classes_beside_four(self, source: Path, raw: Path) -> None:
        write_tree(source, "2015")
        write_case(source, "2012", "BRATS_HG0001", values=(1, 2))
        with pytest.raises(InputError, match=r"files of 2012 or 2015"):
            run_convert("brats", "-i", source, "-d", 501)

    def test_one_folder_name_below_two_patients(self, source: Path, raw: Path, capsys) -> None:
        for modality in ("T1", "FLAIR"):
            write(source / "sub-01" / "ses-2" / f"{modality}.nii.gz", image(case=modality))
        write(source / "sub-01" / "ses-1" / "T1.nii.gz", image())
        write(source / "sub-02" / "ses-1" / "FLAIR.nii.gz", image())
        patterns = ("--modality", "T1=*/T1.nii.gz", "FLAIR=*/FLAIR.nii.gz")
        assert run_convert("folder", "-i", source, "-d", 505, *patterns) == 1
        output = capsys.readouterr().out
        assert f"ses-1: duplicate case id: it is in {source}/sub-01/ses-1 and in {source}/sub-02/ses-1" in output
        assert "--csv" in output

    def test_high_and_low_grades_of_one_number(self, source: Path, raw: Path, capsys) -> None:
        for grade in ("HGG", "LGG"):
            write_case(source / grade, "2015", "brats_2013_pat0001_1")
        for role, seed in SEEDS.items():
            write(path_of(source / "LGG", "2015", "brats_2013_pat0001_1", role), image(seed, "another patient"))
        write_case(source / "HGG", "2015", "brats_tcia_pat105_0001")
        assert run_convert("brats", "-i", source, "-d", 501, "--era", "2015") == 0
        assert "1 case ids are in HGG and in LGG" in capsys.readouterr().out
        cases = dataset_json(raw / "Dataset501_BraTS2015")["nnssl_plugin"]["cases"]
        assert {name: case["patient"] for name, case in cases.items()} == {
            "HGG_brats_2013_pat0001_1": "HGG_brats_2013_pat0001",
            "LGG_brats_2013_pat0001_1": "LGG_brats_2013_pat0001",
            "brats_tcia_pat105_0001": "brats_tcia_pat105",
        }

    def test_an_infinite_label(self, source: Path, raw: Path, capsys) -> None:
        for case, value in (("a", 1), ("b", np.inf)):
            pair(source, case, ".mha")
            label = segmentation(1).astype(np.float32)
            label[2, 3, 1] = value
            write(source / f"{case}_seg.mha", label)
        patterns = ("--modality", "T1=*_t1.mha", "FLAIR=*_flair.mha", "--label", "*_seg.mha")
        assert run_convert("folder", "-i", source, "-d", 505, *patterns) == 1
        assert "b_seg.mha: it has values that are not whole numbers, like inf" in capsys.readouterr().out

    def test_a_value_that_leaves_a_gap_is_traced_to_a_case(self, source: Path, raw: Path) -> None:
        for case, values in (("a", (1, 2)), ("b", (1, 2)), ("c", (1, 2, 7))):
            pair(source, case)
            write(source / f"{case}_seg.nii.gz", segmentation(*values))
        with pytest.raises(InputError, match="7 is in 1 of 3 cases, like c"):
            run_convert("folder", "-i", source, "-d", 505, *PATTERNS, "--label", "*_seg.nii.gz")

    def test_predictions_back_are_for_brats(self, source: Path, raw: Path, tmp_path: Path) -> None:
        write_chaos_t1(source, 10)
        assert run_convert("chaos", "-i", source, "-d", 504) == 0
        with pytest.raises(InputError, match="was not made by convert brats"):
            run_convert("brats", "-i", source, "-d", 504, "--back", "-o", tmp_path / "back")


class TestTables:
    @pytest.mark.parametrize(
        ("rows", "complaint"),
        [
            ("a,,T1,a_t1.nii.gz\nb,,t1,b_t1.nii.gz\n", "line 3: modality t1 is T1 elsewhere"),
            ("a,,T1,a_t1.nii.gz\na,,FLAIR,a_t1.nii.gz\n", "a_t1.nii.gz is given for T1 and for FLAIR"),
            ("a,,T1,a_t1.nii.gz\na,,FLAIR,link.nii.gz\n", "link.nii.gz is given for T1 and for FLAIR"),
        ],
    )
    def test_contradictions(self, source: Path, raw: Path, rows: str, complaint: str) -> None:
        pair(source, "a")
        pair(source, "b")
        (source / "link.nii.gz").symlink_to(source / "a_t1.nii.gz")
        (source / "files.csv").write_text("case,patient,modality,path\n" + rows)
        with pytest.raises(InputError, match=complaint):
            run_convert("folder", "-i", source, "-d", 505, "--csv", source / "files.csv")

    def test_a_label_is_one_however_it_is_written(self, source: Path, raw: Path) -> None:
        pair(source, "a")
        write(source / "a_seg.nii.gz", segmentation(1))
        rows = "a,,T1,a_t1.nii.gz\na,,Label,a_seg.nii.gz\n"
        (source / "files.csv").write_text("case,patient,modality,path\n" + rows)
        assert run_convert("folder", "-i", source, "-d", 505, "--csv", source / "files.csv") == 0
        assert dataset_json(raw / "Dataset505_scans")["channel_names"] == {"0": "T1"}

    def test_channels_keep_the_order_of_the_rows_when_a_file_is_absent(self, source: Path, raw: Path) -> None:
        pair(source, "b")
        rows = "a,,T1,a_t1.nii.gz\nb,,FLAIR,b_flair.nii.gz\nb,,T1,b_t1.nii.gz\n"
        (source / "files.csv").write_text("case,patient,modality,path\n" + rows)
        assert run_convert("folder", "-i", source, "-d", 505, "--csv", source / "files.csv") == 1
        assert dataset_json(raw / "Dataset505_scansUnlabelled")["channel_names"] == {"0": "T1", "1": "FLAIR"}


class TestChaos:
    def test_t2_alone_needs_a_data_set(self, source: Path, raw: Path) -> None:
        write_chaos_t2(source, 10)
        for option in ((), ("--t2-on-t1",)):
            with pytest.raises(InputError, match="T2SPIR of 1 cases and no T1DUAL: give it a data set, --t2-id"):
                run_convert("chaos", "-i", source, "-d", 504, *option)
        assert run_convert("chaos", "-i", source, "-d", 504, "--t2-id", 514) == 0
        assert names_in(raw) == ["Dataset514_CHAOST2"]

    def test_cases_without_what_they_should_have_are_named(self, source: Path, raw: Path, capsys) -> None:
        write_chaos_t1(source, 10)
        in_phase = write_chaos_t1(source, 11) / "DICOM_anon" / "InPhase"
        in_phase.rename(in_phase.with_name("In"))
        write_chaos_t2(source, 10)
        write_chaos_t2(source, 12)
        assert run_convert("chaos", "-i", source, "-d", 504, "--t2-on-t1") == 1
        output = capsys.readouterr().out
        assert f"CHAOS_MR_11: there is no slice in {in_phase}" in output
        assert "CHAOS_MR_12: " in output
        assert "has no T1DUAL beside it" in output

    def test_an_id_for_t2_that_cannot_be_had_is_refused_before_t1_is_written(self, source: Path, raw: Path) -> None:
        write_chaos_t1(source, 10)
        write_chaos_t2(source, 10)
        (raw / "Dataset514_Other").mkdir()
        for number in (514, 1000):
            with pytest.raises(InputError, match=f"id {number}"):
                run_convert("chaos", "-i", source, "-d", 504, "--t2-id", number)
        assert names_in(raw) == ["Dataset514_Other"]


def test_resampled_scans_end_in_their_own_background(source: Path, raw: Path) -> None:
    flair = image(1).astype(np.int16)
    flair[flair == 0] = -500
    write(source / "a_t1.nii.gz", image(0))
    write(source / "a_flair.nii.gz", flair, origin=(0.0, -239.0, 2.0))
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, "--resample-to", "T1") == 0
    images, _ = files_of(raw / "Dataset505_scansUnlabelled", "a")
    assert (read(images[1])[0] == -500).all()
    assert conversion_json(raw / "Dataset505_scansUnlabelled")["settings"]["resample_to"] == "T1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(source: Path, raw: Path) -> None:
    pair(source, "a")
    raw.chmod(0o500)
    with pytest.raises(InputError, match="nothing can be written there"):
        run_convert("folder", "-i", source, "-d", 505, *PATTERNS)


def test_a_raw_folder_that_is_a_file(source: Path, tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair(source, "a")
    (tmp_path / "file").touch()
    monkeypatch.setenv("nnUNet_raw", str(tmp_path / "file"))
    with pytest.raises(InputError, match="nothing can be written there"):
        run_convert("folder", "-i", source, "-d", 505, *PATTERNS)


def test_the_settings_are_on_record(source: Path, raw: Path) -> None:
    brats_case(source, "BraTS-GLI-00000-000")
    assert run_convert("brats", "-i", source, "-d", 501, "--copy") == 0
    settings = conversion_json(raw / "Dataset501_BraTS2023")["settings"]
    assert settings["copy"] is True
    assert settings["labels"]["tumor core"] == [1, 3]
    assert json.dumps(settings)
