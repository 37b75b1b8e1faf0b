import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.errors import InputError
from tests.dicom_trees import (
    chaos_grey,
    chaos_volume,
    write_chaos_t1,
    write_chaos_t2,
    write_ground,
    write_series,
)
from tests.scans import conversion_json, dataset_json, files_of, names_in, read, run_convert

# Label value of each grey value that chaos_grey() has.
MEANING = {0: 0, 63: 1, 126: 2, 189: 3, 252: 4}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "Train_Sets"


@pytest.mark.parametrize("reverse", [False, True])
def test_two_phases_with_one_ground_truth(source: Path, raw: Path, reverse: bool):
    write_chaos_t1(source, 10, reverse=reverse)
    assert run_convert("chaos", "-i", source, "-d", 504) == 0
    folder = raw / "Dataset504_CHAOS"
    description = dataset_json(folder)
    assert description["channel_names"] == {"0": "T1in", "1": "T1out"}
    assert description["labels"] == {"background": 0, "liver": 1, "right kidney": 2, "left kidney": 3, "spleen": 4}
    (in_phase, out_of_phase), label = files_of(folder, "CHAOS_MR_10")
    np.testing.assert_array_equal(read(in_phase), chaos_volume(0))
    np.testing.assert_array_equal(read(out_of_phase), chaos_volume(1))
    np.testing.assert_array_equal(read(label), np.vectorize(MEANING.get)(chaos_grey()))
    image = sitk.ReadImage(str(label))
    np.testing.assert_allclose(image.GetSpacing(), (1.5, 1.25, 4))
    np.testing.assert_allclose(image.GetOrigin(), (-20, -30, 5))


def test_t2_is_not_forgotten_silently(source: Path, raw: Path, capsys):
    write_chaos_t1(source, 10)
    write_chaos_t2(source, 10)
    assert run_convert("chaos", "-i", source, "-d", 504) == 0
    assert "T2-SPIR of 1 cases not converted: --t2-on-t1, or --t2-id" in capsys.readouterr().out


def test_t2_as_its_own_data_set(source: Path, raw: Path):
    write_chaos_t1(source, 10)
    t2 = write_chaos_t2(source, 10)
    assert run_convert("chaos", "-i", source, "-d", 504, "--t2-id", 514) == 0
    folder = raw / "Dataset514_CHAOST2"
    assert dataset_json(folder)["channel_names"] == {"0": "T2SPIR"}
    (image,), label = files_of(folder, "CHAOS_MR_10")
    expected = sitk.ReadImage([str(file) for file in sorted((t2 / "DICOM_anon").iterdir())])
    np.testing.assert_array_equal(read(image), sitk.GetArrayFromImage(expected))
    np.testing.assert_array_equal(read(label), read(image) > 800)
    with pytest.raises(InputError, match="--t2-id 504"):
        run_convert("chaos", "-i", source, "-d", 504, "--t2-id", 504)


def test_t2_on_the_grid_of_t1(source: Path, raw: Path, capsys):
    t1 = write_chaos_t1(source, 10)
    t2 = write_chaos_t2(source, 10)
    assert run_convert("chaos", "-i", source, "-d", 504, "--t2-on-t1") == 0
    folder = raw / "Dataset504_CHAOS"
    assert dataset_json(folder)["channel_names"] == {"0": "T1in", "1": "T1out", "2": "T2SPIR"}
    (_, _, third), _ = files_of(folder, "CHAOS_MR_10")
    assert read(third).shape == chaos_volume().shape
    # T2 begins two voxels before T1 in the plane and has its slices twice as dense: the same places, without interpolation.
    expected = sitk.GetArrayFromImage(sitk.ReadImage([str(file) for file in sorted((t2 / "DICOM_anon").iterdir())]))
    np.testing.assert_allclose(read(third), expected[::2, 2:18, 2:22], atol=1e-3)
    assert conversion_json(folder)["cases"]["CHAOS_MR_10"]["files"]["T2SPIR"]["resampled"] == 1
    assert "resampled: 1 scans, covering 100% or more" in capsys.readouterr().out
    assert t1.is_dir()


def test_t2_that_covers_too_little(source: Path, raw: Path, capsys):
    write_chaos_t1(source, 10)
    write_chaos_t2(source, 10)
    write_chaos_t1(source, 11)
    # 12 mm up: the lowest three of six slices lie outside.
    write_chaos_t2(source, 11, shift_mm=12)
    arguments = ("chaos", "-i", source, "-d", 504, "--t2-on-t1")
    assert run_convert(*arguments) == 1
    assert re.search(r"CHAOS_MR_11: T2SPIR: .* covers 50% of T1in, less than 75%", capsys.readouterr().out)
    assert run_convert(*arguments, "--min-overlap", 0.5, "--overwrite") == 0
    with pytest.raises(InputError, match=r"--min-overlap 1\.5"):
        run_convert(*arguments, "--min-overlap", 1.5, "--overwrite")


def test_unlabelled_cases(source: Path, raw: Path):
    write_chaos_t1(source, 10)
    write_chaos_t1(source, 11, labelled=False)
    with pytest.raises(InputError, match="--unlabelled-id"):
        run_convert("chaos", "-i", source, "-d", 504)
    assert run_convert("chaos", "-i", source, "-d", 504, "--unlabelled-id", 505) == 0
    assert list(dataset_json(raw / "Dataset505_CHAOSUnlabelled")["nnssl_plugin"]["cases"]) == ["CHAOS_MR_11"]


def other_names(t1: Path) -> None:
    (t1 / "Ground" / "IMG-0046-00004.png").rename(t1 / "Ground" / "IMG-0046-00005.png")


def other_grey(t1: Path) -> None:
    write_ground(t1 / "Ground", chaos_grey()[:1] + 30, ["IMG-0046-00002"])


def other_size(t1: Path) -> None:
    write_ground(t1 / "Ground", chaos_grey()[:1, :-1], ["IMG-0046-00002"])


def no_png(t1: Path) -> None:
    (t1 / "Ground" / "IMG-0046-00002.png").write_bytes(b"no image")


def no_out_of_phase(t1: Path) -> None:
    shutil.rmtree(t1 / "DICOM_anon" / "OutPhase")


def one_echo(t1: Path) -> None:
    names = [f"IMG-0046-{2 * i + 1:05d}" for i in range(6)]
    write_series(t1 / "DICOM_anon" / "OutPhase", chaos_volume(1), names=names, echo_time_ms=4.6)


def gap(t1: Path) -> None:
    (t1 / "DICOM_anon" / "OutPhase" / "IMG-0046-00005.dcm").unlink()


def another_place(t1: Path) -> None:
    names = [f"IMG-0046-{2 * i + 1:05d}" for i in range(6)]
    write_series(t1 / "DICOM_anon" / "OutPhase", chaos_volume(1), names=names, echo_time_ms=2.3, origin=(-20, -30, 9))


def twice(t1: Path) -> None:
    shutil.copytree(t1, t1.parents[1] / "again" / t1.parent.name / "T1DUAL")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (other_names, r"label: .*Ground and .*InPhase do not hold the same slices: IMG-0046-00004, IMG-0046-00005"),
        (other_grey, r"label: .*IMG-0046-00002.png has the grey values \[30, 156\]; known are 0, 55 to 70, 110 to 135"),
        (other_size, r"label: .*IMG-0046-00002.png has \(15, 20\) pixels, its slice \(16, 20\)"),
        (no_png, r"label: .*IMG-0046-00002.png cannot be read"),
        (no_out_of_phase, "lacks T1out"),
        (one_echo, "the same echo time, 4.6 ms"),
        (gap, r"IMG-0046-00003.dcm and .*IMG-0046-00007.dcm are 8 mm, between most slices 4 mm"),
        (another_place, r"T1out: .* is not on the grid of T1in: origin"),
        (twice, "duplicate case id"),
    ],
)
def test_a_bad_case_is_left_out_and_named(source: Path, raw: Path, capsys, spoil, complaint: str):
    write_chaos_t1(source, 10)
    spoil(write_chaos_t1(source, 11))
    with pytest.raises(InputError, match=f"CHAOS_MR_11: .*{complaint}"):
        run_convert("chaos", "-i", source, "-d", 504, "--strict")
    assert names_in(raw) == []
    assert run_convert("chaos", "-i", source, "-d", 504) == 1
    assert list(dataset_json(raw / "Dataset504_CHAOS")["nnssl_plugin"]["cases"]) == ["CHAOS_MR_10"]


def test_sequences_of_two_physical_spaces(source: Path, raw: Path):
    write_chaos_t1(source, 10)
    write_chaos_t2(source, 10, space="1.2.4")
    with pytest.raises(InputError, match="CHAOS_MR_10: T2SPIR and T1DUAL have different frames of reference"):
        run_convert("chaos", "-i", source, "-d", 504, "--t2-on-t1")


def test_a_folder_of_something_else(source: Path, raw: Path):
    source.mkdir()
    with pytest.raises(InputError, match=r"T1DUAL/DICOM_anon/InPhase"):
        run_convert("chaos", "-i", source, "-d", 504)


def test_organs_are_on_their_sides(real_data: Path, raw: Path):
    """In the patient's coordinates (x to the left, z to the head): liver and right kidney right of spleen and left kidney."""
    assert run_convert("chaos", "-i", real_data / "chaos", "-d", 504) == 0
    folder = raw / "Dataset504_CHAOS"
    assert json.loads((folder / "conversion.json").read_text(encoding="utf-8"))["left out"] == {}
    (in_phase, _), label = files_of(folder, "CHAOS_MR_10")
    image = sitk.ReadImage(str(label))
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.Execute(image)
    liver, right, left, spleen = (np.array(statistics.GetCentroid(value)) for value in (1, 2, 3, 4))
    assert max(liver[0], right[0]) < min(left[0], spleen[0])
    assert liver[2] > right[2]
    assert spleen[2] > left[2]
    assert sitk.ReadImage(str(in_phase)).GetOrigin() == pytest.approx(image.GetOrigin())
