import re
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from nnssl_plugin.conversion.label_scheme import scheme_from_names, scheme_from_values
from nnssl_plugin.conversion.summary import natural_configuration
from nnssl_plugin.errors import InputError
from nnssl_plugin.images.content_hash import content_hash
from tests.scans import conversion_json, dataset_json, files_of, image, names_in, read, run_convert, segmentation, write

PATTERNS = ("--modality", "T1=*_t1.nii.gz", "T1c=*_t1c.nii.gz")
LABEL = ("--label", "*_seg.nii.gz")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "any scans"


def folder_case(folder: Path, name: str, labels=(1,), modalities=("t1", "t1c")) -> None:
    for seed, modality in enumerate(modalities):
        write(folder / name / f"{name}_{modality}.nii.gz", image(seed, name))
    if labels is not None:
        write(folder / name / f"{name}_seg.nii.gz", segmentation(*labels))


def test_patterns_tell_modalities_apart(source: Path, raw: Path):
    folder_case(source, "patient a")
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, *LABEL) == 0
    folder = raw / "Dataset505_anyscans"
    images, label = files_of(folder, "patient a")
    for seed, path in enumerate(images):
        np.testing.assert_array_equal(read(path), image(seed, "patient a"))
    np.testing.assert_array_equal(read(label), segmentation(1))
    description = dataset_json(folder)
    assert description["channel_names"] == {"0": "T1", "1": "T1c"}
    assert description["labels"] == {"background": 0, "label 1": 1}
    assert "regions_class_order" not in description
    assert description["nnssl_plugin"]["cases"] == {
        "patient a": {
            "patient": "patient a",
            "patient_known": False,
            "missing": [],
            "background": {"T1": 0.0, "T1c": 0.0},
            "content": {m: content_hash(image(seed, "patient a")) for seed, m in enumerate(("T1", "T1c"))},
        }
    }


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--modality", "T1=*_t1.nii.gz", "X=*1.nii.gz"), r"a_t1.nii.gz matches the patterns of T1 and X"),
        (("--modality", "T1=a_t1.nii.gz*"), r"its \* matches nothing"),
        (("--modality", "T1=a_t1.nii.gz"), r"expected a file name with one \*"),
        (("--modality", "T1=*_*.nii.gz"), r"expected a file name with one \*"),
        (("--modality", "T1"), "expected another NAME=PATTERN"),
        (("--modality", "T1=*_t1.nii.gz", "T1=*_t1c.nii.gz"), "expected another NAME=PATTERN"),
        (("--modality", "T1=*_t1.nii.gz", "T2=*_t2.nii.gz"), r"no file below .* matches '\*_t2.nii.gz' \(T2\)"),
        (("--modality", "label=*_t1.nii.gz", *LABEL), "cannot be called 'label'"),
        ((*PATTERNS, "--label", "*_mask.nii.gz"), r"matches '\*_mask.nii.gz' \(label\)"),
        ((*PATTERNS, "--label-name", "tumour=1"), "--label names none"),
        ((*PATTERNS, *LABEL, "--label-name", "tumour"), "'tumour': expected a new NAME=VALUE"),
        ((*PATTERNS, *LABEL, "--patient", "a"), "no group"),
        ((*PATTERNS, *LABEL, "--patient", "(a"), "no regular expression"),
        ((*PATTERNS, *LABEL, "--patient", "(b)"), "no patient in the case name 'a'"),
    ],
)
def test_patterns_that_make_no_sense(source: Path, raw: Path, arguments, complaint):
    folder_case(source, "a")
    with pytest.raises(InputError, match=complaint):
        run_convert("folder", "-i", source, "-d", 505, *arguments)
    assert names_in(raw) == []


def test_incomplete_labelled_cases_go_to_the_unlabelled_data_set(source: Path, raw: Path):
    folder_case(source, "a")
    folder_case(source, "b", modalities=("t1",))
    folder_case(source, "c", modalities=("t1c",), labels=None)
    arguments = ("folder", "-i", source, "-d", 505, "--name", "X", *PATTERNS, *LABEL)
    assert run_convert(*arguments, "--unlabelled-id", 506) == 0
    assert names_in(raw) == ["Dataset505_X", "Dataset506_XUnlabelled"]
    missing = {name: case["missing"] for name, case in cases_of(raw / "Dataset506_XUnlabelled").items()}
    assert missing == {"b": ["T1c"], "c": ["T1"]}
    zero = sitk.ReadImage(str(files_of(raw / "Dataset506_XUnlabelled", "c")[0][0]))
    present = sitk.ReadImage(str(source / "c" / "c_t1c.nii.gz"))
    assert (zero.GetSpacing(), zero.GetOrigin()) == (present.GetSpacing(), present.GetOrigin())


def test_a_label_without_any_image(source: Path, raw: Path, capsys):
    folder_case(source, "a")
    folder_case(source, "b", modalities=())
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, *LABEL, "--unlabelled-id", 506) == 1
    assert "b: lacks T1, T1c" in capsys.readouterr().out


def test_patients_are_never_split(source: Path, raw: Path):
    names = [f"p{patient}_visit{visit}" for patient in range(6) for visit in (1, 2)]
    for name in names:
        folder_case(source, name)
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, *LABEL, "--patient", r"^(p\d)_") == 0
    cases = cases_of(raw / "Dataset505_anyscans")
    assert {name: case["patient"] for name, case in cases.items()} == {name: name[:2] for name in names}
    assert (raw / "Dataset505_anyscans" / "splits_final.json").exists()


@pytest.mark.parametrize("ending", [".nii", ".mha", ".nrrd"])
def test_other_formats_stay_where_nnunet_reads_them(source: Path, raw: Path, capsys, ending: str):
    original = write(source / f"a_t1{ending}", image())
    assert run_convert("folder", "-i", source, "-d", 505, "--modality", f"T1=*_t1{ending}") == 0
    folder = raw / "Dataset505_anyscansUnlabelled"
    assert dataset_json(folder)["file_ending"] == ending
    assert files_of(folder, "a") == ([original], folder / "labelsTr" / f"a{ending}")
    np.testing.assert_array_equal(read(folder / "labelsTr" / f"a{ending}"), image() > 0)


def test_files_of_the_rarer_format_are_converted(source: Path, raw: Path, capsys):
    direction = (0, 1, 0, -1, 0, 0, 0, 0, 1)
    grid = {"spacing": (0.5, 0.7, 3), "origin": (1, 2, 3), "direction": direction}
    original = write(source / "a_t1.nrrd", image(), **grid)
    write(source / "a_t2.nii.gz", image(1), **grid)
    write(source / "b_t2.nii.gz", image(2), **grid)
    patterns = ("T1=*_t1.nrrd", "T2=*_t2.nii.gz")
    assert run_convert("folder", "-i", source, "-d", 505, "--modality", *patterns) == 0
    target = sitk.ReadImage(str(raw / "Dataset505_anyscansUnlabelled" / "imagesTr" / "a_0000.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(target), image())
    expected = sitk.ReadImage(str(original))
    for quantity in ("GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(target, quantity)(), getattr(expected, quantity)(), atol=1e-6)
    assert "1 converted, 2 listed in place" in capsys.readouterr().out


def test_the_case_may_be_a_folder(source: Path, raw: Path):
    write(source / "a" / "FLAIR.nii.gz", image())
    write(source / "a" / "labels" / "lesion.nii.gz", segmentation(1))
    arguments = ("--modality", "FLAIR=*/FLAIR.nii.gz", "--label", "*/labels/lesion.nii.gz")
    assert run_convert("folder", "-i", source, "-d", 505, *arguments) == 0
    assert list(cases_of(raw / "Dataset505_anyscans")) == ["a"]


def test_a_case_id_in_two_folders(source: Path, raw: Path, capsys):
    folder_case(source / "first", "a")
    folder_case(source / "second", "a")
    folder_case(source, "b")
    assert run_convert("folder", "-i", source, "-d", 505, *PATTERNS, *LABEL) == 1
    assert re.search("a: duplicate case id: it is in .*first/a and in .*second/a", capsys.readouterr().out)


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_is_named(source: Path, raw: Path, ending: str, value: float):
    noise = np.random.default_rng(0).normal(size=(60, 70, 80)).astype(np.float32 if ending == ".nii" else np.float64)
    noise[-1, -1, -1] = value
    write(source / f"a_t1{ending}", noise)
    with pytest.raises(InputError, match=f"a: T1: .*a_t1{ending} holds NaN or infinite"):
        run_convert("folder", "-i", source, "-d", 505, "--modality", f"T1=*_t1{ending}")


def test_odd_intensities_are_noted(source: Path, raw: Path, capsys):
    noise = np.random.default_rng(0).normal(size=(6, 7, 8))
    scored = np.full((10, 11, 12), -3.5, np.float32)
    scored[2:-2, 2:-2, 2:-2] = (noise - noise.mean()) / noise.std()
    write(source / "a_t1.nii.gz", scored)
    assert run_convert("folder", "-i", source, "-d", 505, "--modality", "T1=*_t1.nii.gz") == 0
    seen = conversion_json(raw / "Dataset505_anyscansUnlabelled")["cases"]["a"]["files"]["T1"]
    assert seen["background"] == -3.5
    assert seen["foreground"] == pytest.approx(noise.size / scored.size)
    assert [note.split(":")[0] for note in seen["notes"]] == ["background -3.5 is negative", "z-scored already"]
    assert "unusual: a T1: background -3.5 is negative; z-scored already" in capsys.readouterr().out


def test_few_slices_are_for_2d(source: Path, raw: Path, capsys):
    write(source / "a_t1.nii.gz", np.random.default_rng(0).normal(size=(5, 20, 20)), spacing=(1, 1, 1))
    assert run_convert("folder", "-i", source, "-d", 505, "--modality", "T1=*_t1.nii.gz") == 0
    assert "-c 2d --verify" in capsys.readouterr().out
    assert natural_configuration([240, 240, 155], [1, 1, 1]) == "3d_fullres"
    assert natural_configuration([256, 256, 90], [1, 1, 4]) == "2d"


def test_truncated_file_of_another_format(source: Path, raw: Path):
    path = write(source / "a_t1.nrrd", image())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"a: T1: .*a_t1.nrrd is truncated or damaged"):
        run_convert("folder", "-i", source, "-d", 505, "--modality", "T1=*_t1.nrrd")


def test_values_become_classes_only_without_a_gap(source: Path, raw: Path):
    folder_case(source, "a", labels=(1,))
    folder_case(source, "b", labels=(4,))
    with pytest.raises(InputError, match=r"values 0, 1, 4: nnU-Net wants .*--label-name"):
        run_convert("folder", "-i", source, "-d", 505, *PATTERNS, *LABEL)
    assert scheme_from_values([2, 1]).labels == {"background": 0, "label 1": 1, "label 2": 2}


def test_named_classes_and_regions():
    classes = scheme_from_names(["anterior=1", "posterior=2"])
    assert classes.labels == {"background": 0, "anterior": 1, "posterior": 2}
    assert classes.regions_class_order is None
    # BraTS up to 2021: 1 necrosis, 2 oedema, 4 enhancing.
    regions = scheme_from_names(["whole=1,2,4", "core=1,4", "enhancing=4"])
    assert regions.regions_class_order == [2, 1, 4]
    assert regions.values == {0, 1, 2, 4}


@pytest.mark.parametrize(
    "names",
    [
        ["a=1", "a=2"],
        ["=1"],
        ["a=x"],
        ["a=0"],
        ["a=1", "b=1"],
        ["core=1,3", "whole=1,2,3"],
        ["whole=0,1"],
    ],
)
def test_names_that_nnunet_could_not_use(names):
    with pytest.raises(InputError, match="--label-name"):
        scheme_from_names(names)


def test_classes_with_gaps_are_recoded() -> None:
    scheme = scheme_from_names(["a=1", "b=3"])
    assert scheme.labels == {"background": 0, "a": 1, "b": 2}
    assert scheme.recoded == {3: 2}
    assert scheme.values == {0, 1, 3}


def test_lgg(real_data: Path, raw: Path, capsys):
    patterns = ("T1=*_t1.nii.gz", "FLAIR=*_flair.nii.gz", "T1c=*_t1c.nii.gz")
    arguments = ("folder", "-i", real_data / "lgg", "-d", 505, "--modality", *patterns, *LABEL)
    assert run_convert(*arguments, "--label-name", "whole_tumour=1", "--unlabelled-id", 506) == 0
    labelled, unlabelled = (cases_of(raw / name) for name in ("Dataset505_lgg", "Dataset506_lggUnlabelled"))
    assert (len(labelled), len(unlabelled)) == (70, 10)
    assert not any(case["missing"] for case in labelled.values())
    assert sorted(tuple(case["missing"]) for case in unlabelled.values()) == [("T1", "T1c")] * 6 + [("T1c",)] * 4
    output = capsys.readouterr().out
    assert "missing: T1c in 10 cases, T1 in 6 cases" in output
    assert "-d 505 -c 2d --verify" in output


def test_lgg_strict(real_data: Path, raw: Path):
    patterns = ("T1=*_t1.nii.gz", "FLAIR=*_flair.nii.gz", "T1c=*_t1c.nii.gz")
    with pytest.raises(InputError, match="left out: 10 cases"):
        run_convert("folder", "-i", real_data / "lgg", "-d", 505, "--modality", *patterns, *LABEL, "--strict")
    assert names_in(raw) == []


def test_brains_at_2_mm(real_data: Path, raw: Path):
    patterns = ("T1=*_t1.nii.gz", "T1c=*_t1c.nii.gz", "T2=*_t2.nii.gz", "FLAIR=*_flair.nii.gz")
    arguments = ("folder", "-i", real_data / "mr-brain-2mm", "-d", 505, "--modality", *patterns, *LABEL)
    assert run_convert(*arguments, "--regions", "brats2023", "--unlabelled-id", 506) == 0
    assert dataset_json(raw / "Dataset505_mr-brain-2mm")["labels"]["tumor core"] == [1, 3]
    assert len(cases_of(raw / "Dataset505_mr-brain-2mm")) == 4
    assert len(cases_of(raw / "Dataset506_mr-brain-2mmUnlabelled")) == 6


def cases_of(folder: Path) -> dict:
    return dataset_json(folder)["nnssl_plugin"]["cases"]
