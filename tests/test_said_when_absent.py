"""What is declared and absent, or there and not converted, is said; what is advised can be done; numbers show what differs."""

from pathlib import Path

import numpy as np
import pytest

from nnssl_plugin.conversion.label_values import values_in
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.image_file import geometry_differences, read_header
from nnssl_plugin.images.unequal_texts import unequal_texts
from tests.brats_trees import write_case
from tests.dicom_trees import chaos_grey, chaos_volume, write_chaos_t1, write_chaos_t2, write_ground, write_series
from tests.scans import conversion_json, dataset_json, files_of, image, read, run_convert, segmentation, write

PATTERNS = ("--modality", "T1=*_t1.nii.gz", "FLAIR=*_flair.nii.gz")
IN_PHASE = [f"IMG-0046-{2 * i + 2:05d}" for i in range(6)]


def pair(folder: Path, case: str, *labels: int) -> None:
    for seed, modality in enumerate(("t1", "flair")):
        write(folder / f"{case}_{modality}.nii.gz", image(seed, case))
    if labels:
        write(folder / f"{case}_seg.nii.gz", segmentation(*labels, kind=np.int16))


class TestLabels:
    def test_masks_of_one_organ_become_no_spleens(self, source: Path, raw: Path) -> None:
        t1 = write_chaos_t1(source, 1)
        write_ground(t1 / "Ground", np.where(chaos_grey() == 63, 255, 0), IN_PHASE)
        with pytest.raises(InputError, match="Ground holds nothing but 0 and 255, like the mask of one structure"):
            run_convert("chaos", "-i", source, "-d", 504)

    def test_a_spleen_in_the_published_grey_beside_others(self, source: Path, raw: Path) -> None:
        t1 = write_chaos_t1(source, 1)
        write_ground(t1 / "Ground", np.where(chaos_grey() == 252, 255, chaos_grey()), IN_PHASE)
        assert run_convert("chaos", "-i", source, "-d", 504) == 0
        (folder,) = raw.glob("Dataset*")
        assert set(np.unique(read(files_of(folder, "CHAOS_MR_1")[1]))) == {0, 1, 2, 3, 4}

    def test_organs_in_no_case(self, source: Path, raw: Path, capsys) -> None:
        t1 = write_chaos_t1(source, 1)
        write_ground(t1 / "Ground", np.where(np.isin(chaos_grey(), (63, 126)), chaos_grey(), 0), IN_PHASE)
        assert run_convert("chaos", "-i", source, "-d", 504) == 0
        said = "label values declared, but in no case: 3 (left kidney), 4 (spleen)"
        assert said in capsys.readouterr().out
        (folder,) = raw.glob("Dataset*")
        assert any(said in warning for warning in conversion_json(folder)["warnings"])

    @pytest.mark.parametrize(
        ("kind", "meaning"),
        [("regions", "4 (whole tumor, tumor core, enhancing tumor)"), ("classes", "4 (enhancing tumor)")],
    )
    def test_published_values_in_no_case(self, source: Path, raw: Path, capsys, kind: str, meaning: str) -> None:
        write_case(source, "2021", "BraTS2021_00001", values=(1, 2))
        assert run_convert("brats", "-i", source, "-d", 501, "--labels", kind) == 0
        assert f"in no case: {meaning}\n" in capsys.readouterr().out

    def test_nothing_is_said_where_all_occur_in_some_case(self, source: Path, raw: Path, capsys) -> None:
        pair(source, "a", 1)
        pair(source, "b", 2)
        assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, "--label", "*_seg.nii.gz") == 0
        assert "WARNING" not in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("values", "blamed"),
        [
            (((-1, 1), (-1, 1)), r"-1, 0, 1: nnU-Net takes no negative one.*\(-1 is in 2 of 2 cases, like a\)"),
            (((1, 7), (1,)), r"\(7 is in 1 of 2 cases, like a\)"),
            (((3,), (1, 3, 4)), r"\(4 is in 1 of 2 cases, like b\)"),
        ],
    )
    def test_the_value_that_is_wrong_is_blamed(self, source: Path, raw: Path, values: tuple, blamed: str) -> None:
        for case, inside in zip("ab", values, strict=True):
            pair(source, case, *inside)
        with pytest.raises(InputError, match=blamed):
            run_convert("folder", "-i", source, "-d", 505, *PATTERNS, "--label", "*_seg.nii.gz")

    def test_modalities_in_no_case(self, source: Path, raw: Path, capsys) -> None:
        for seed, modality in enumerate(("t1n", "t2f")):
            write(source / f"BraTS-GLI-00001-000-{modality}.nii.gz", image(seed))
        assert run_convert("brats", "-i", source, "-d", 501) == 0
        assert "modalities declared, but in no case: T1c, T2" in capsys.readouterr().out


class TestDigits:
    @pytest.mark.parametrize(
        ("value", "text"), [(np.float32(1.0000002), "1.0000002"), (0.9999999999, "0.9999999999"), (1e-9, "1e-09")]
    )
    def test_of_a_value_that_is_not_whole(self, value: float, text: str) -> None:
        with pytest.raises(InputError, match=f"not whole numbers, like {text}: round"):
            values_in(np.array([0, value], getattr(value, "dtype", float)))

    def test_of_two_numbers(self) -> None:
        assert unequal_texts(1.0, 1.00000001) == ("1", "1.00000001")
        assert unequal_texts((1, 2), (1, 2.0000001)) == ("(1, 2)", "(1, 2.0000001)")
        assert unequal_texts(74.96, 75.0, digits=3) == ("74.96", "75")
        assert unequal_texts(1.0, 1.0) == ("1", "1")

    def test_of_a_position(self, source: Path, raw: Path) -> None:
        write(source / "a_t1.nii.gz", image(0), origin=(-123456.25, 0, 0))
        write(source / "a_flair.nii.gz", image(1), origin=(-123456.21875, 0, 0))
        with pytest.raises(InputError, match=r"origin \(.*-?123456\.22?, .*instead of \(-?123456\.2?5?, .*0\.03125 mm"):
            run_convert("folder", "-i", source, "-d", 505, *PATTERNS)


class TestOtherScans:
    def test_images_that_are_not_named_as_in_brats(self, source: Path, raw: Path, capsys) -> None:
        write_case(source, "2023", "BraTS-GLI-00001-000")
        write(source / "BraTS-GLI-00001-000" / "BraTS-GLI-00001-000-adc.nii.gz", image(9))
        assert run_convert("brats", "-i", source, "-d", 501) == 0
        output = capsys.readouterr().out
        assert "not converted: 1 images of other names, like " in output
        assert "convert folder reads any names" in output

    @pytest.mark.parametrize("name", ["TCGA-01_t1.nii.gz", "scan.nii.gz"])
    def test_names_of_no_era(self, source: Path, raw: Path, name: str) -> None:
        write(source / name, image())
        with pytest.raises(InputError, match=r"convert folder --modality"):
            run_convert("brats", "-i", source, "-d", 501)

    def test_ct_beside_mr(self, source: Path, raw: Path, capsys) -> None:
        write_chaos_t1(source, 1)
        write_series(source / "CT" / "2" / "DICOM_anon", chaos_volume(3))
        assert run_convert("chaos", "-i", source, "-d", 504) == 0
        assert f"CT of 1 cases not converted, like {source / 'CT' / '2'}" in capsys.readouterr().out

    def test_ct_among_mr(self, source: Path, raw: Path, capsys) -> None:
        for number, case in enumerate("abc"):
            for file in write_series(source / case / "T1", chaos_volume(number)):
                if case == "b":
                    file.write_bytes(file.read_bytes().replace(b"MR", b"CT", 1))
        assert run_convert("folder", "-i", source, "-d", 505, "--modality", "T1=*/T1/") == 1
        assert "b: T1: its slices are CT, those of 2 other cases MR" in capsys.readouterr().out

    def test_sessions_without_patients(self, source: Path, raw: Path, capsys) -> None:
        for case in ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"):
            pair(source, case)
        arguments = ("folder", "-i", source, *PATTERNS)
        assert run_convert(*arguments, "-d", 505) == 0
        output = capsys.readouterr().out
        assert "HINT: sub-01_ses-1 and sub-01_ses-2 look like examinations of one patient" in output
        advised = output.partition("--patient '")[2].partition("'")[0]
        assert run_convert(*arguments, "-d", 506, "--name", "Said", "--patient", advised) == 0
        assert "HINT" not in capsys.readouterr().out
        cases = dataset_json(raw / "Dataset506_Said")["nnssl_plugin"]["cases"]
        assert {case["patient"] for case in cases.values()} == {"sub-01", "sub-02"}

    @pytest.mark.parametrize("names", [("p1_visit1", "p1_visit2"), ("P7-tp-01", "P7-tp-02"), ("x_day0", "x_day3")])
    def test_other_words_for_sessions(self, source: Path, raw: Path, capsys, names: tuple[str, ...]) -> None:
        for case in names:
            pair(source, case)
        assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 0
        output = capsys.readouterr().out
        advised = output.partition("--patient '")[2].partition("'")[0]
        assert run_convert("folder", "-i", source, "-d", 506, "--name", "Said", *PATTERNS, "--patient", advised) == 0
        cases = dataset_json(raw / "Dataset506_Said")["nnssl_plugin"]["cases"]
        assert len({case["patient"] for case in cases.values()}) == 1

    def test_numbered_cases_are_no_sessions(self, source: Path, raw: Path, capsys) -> None:
        for case in ("case_01", "case_02", "sub-01", "sub-02"):
            pair(source, case)
        assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS) == 0
        assert "HINT" not in capsys.readouterr().out


class TestAdvice:
    def test_phases_of_one_acquisition_beside_each_other_by_rounding(self, source: Path, raw: Path, capsys) -> None:
        t1 = write_chaos_t1(source, 1)
        odd = [f"IMG-0046-{2 * i + 1:05d}" for i in range(6)]
        write_series(
            t1 / "DICOM_anon" / "OutPhase", chaos_volume(7), origin=(-19.95, -30, 5), names=odd, echo_time_ms=2.3
        )
        assert run_convert("chaos", "-i", source, "-d", 504) == 0
        assert (
            "out of phase moved onto the grid of in phase, one acquisition: 1 cases, by up to 0.05 mm"
            in capsys.readouterr().out
        )
        (folder,) = raw.glob("Dataset*")
        (in_phase, out_of_phase), _ = files_of(folder, "CHAOS_MR_1")
        np.testing.assert_array_equal(read(out_of_phase), chaos_volume(7))
        assert geometry_differences(read_header(in_phase), read_header(out_of_phase)) == []

    @pytest.mark.parametrize("other", [{"origin": (-19, -30, 5)}, {"spacing": (1.5, 1.3, 4.0)}])
    def test_other_grids_get_advice_that_can_be_followed(self, source: Path, raw: Path, other: dict) -> None:
        t1 = write_chaos_t1(source, 1)
        odd = [f"IMG-0046-{2 * i + 1:05d}" for i in range(6)]
        write_series(t1 / "DICOM_anon" / "OutPhase", chaos_volume(7), names=odd, echo_time_ms=2.3, **other)
        with pytest.raises(
            InputError, match=r"T1out: .* is not on the grid of T1in: .* as .nii.gz on one grid"
        ) as error:
            run_convert("chaos", "-i", source, "-d", 504)
        assert "--resample-to" not in str(error.value)

    def test_t2_without_segmentations(self, source: Path, raw: Path) -> None:
        t2 = write_chaos_t2(source, 1)
        write_chaos_t2(source, 2, seed=3)
        for file in (t2 / "Ground").iterdir():
            file.unlink()
        (t2 / "Ground").rmdir()
        with pytest.raises(InputError, match=r"1 of 2 cases have no segmentation .*with another --t2-id"):
            run_convert("chaos", "-i", source, "-d", 504, "--t2-id", 514)
