import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_labels
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from nnssl_plugin.conversion.brats_eras import ERAS
from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.regions import convention_from_dataset_json
from tests.brats_trees import (
    PATIENTS,
    SEEDS,
    TREES,
    another_grid,
    path_of,
    truncated,
    write_case,
    write_decathlon,
    write_tree,
)
from tests.scans import dataset_json, files_of, image, names_in, read, run_convert, segmentation, write

MODALITIES = ["T1", "T1c", "T2", "FLAIR"]
# Published label values of WT, TC and ET, from the challenges' pages.
REGIONS = {
    "2012": {"WT": {1, 2}, "TC": {2}},
    "2015": {"WT": {1, 2, 3, 4}, "TC": {1, 3, 4}, "ET": {4}},
    "2020": {"WT": {1, 2, 4}, "TC": {1, 4}, "ET": {4}},
    "2021": {"WT": {1, 2, 4}, "TC": {1, 4}, "ET": {4}},
    "2023": {"WT": {1, 2, 3}, "TC": {1, 3}, "ET": {3}},
    "2024": {"WT": {1, 2, 3}, "TC": {1, 3}, "ET": {3}},
    "2024-ped": {"WT": {1, 2, 3, 4}, "TC": {1, 2, 3}, "ET": {1}},
    "msd": {"WT": {1, 2, 3}, "TC": {2, 3}, "ET": {3}},
}
# Names alone do not tell what the values of these mean.
AMBIGUOUS = ("2012", "2024-ped")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "release"


def converted(raw: Path) -> Path:
    (folder,) = (path for path in raw.iterdir() if path.name.startswith("Dataset501"))
    return folder


def told(era: str) -> tuple[str, ...]:
    return ("--era", era) if era in AMBIGUOUS else ()


@pytest.mark.parametrize("era", ERAS)
def test_names_channels_and_values_of_each_era(source: Path, raw: Path, capsys, era: str):
    cases = write_tree(source / "some" / "folder", era)
    assert run_convert("brats", "-i", source, "-d", 501, *told(era)) == 0
    how = "as told by --era" if era in AMBIGUOUS else "recognised by the names"
    assert f"era {era}, {how}" in capsys.readouterr().out

    folder = converted(raw)
    description = dataset_json(folder)
    assert list(description["channel_names"].values()) == MODALITIES
    assert sorted(description["nnssl_plugin"]["cases"]) == sorted(cases)
    assert len({case["patient"] for case in description["nnssl_plugin"]["cases"].values()}) == PATIENTS[era]
    for case in cases:
        images, label = files_of(folder, case)
        for modality, path in zip(MODALITIES, images, strict=True):
            np.testing.assert_array_equal(read(path), image(SEEDS[modality], case))
        published = TREES[era][2] if era in TREES else (1, 2, 3)
        np.testing.assert_array_equal(read(label), segmentation(*published))

    # What nnU-Net's integrity check asks of labels, and the regions as evaluation will read them.
    manager = LabelManager(description["labels"], description["regions_class_order"])
    assert np.all(np.diff(manager.all_labels) == 1)
    if description["file_ending"] != ".nii":
        assert verify_labels(str(label), SimpleITKIO, manager.all_labels)
    regions = convention_from_dataset_json(description, "dataset.json").regions
    unused = ERAS[era].unused
    assert {region: set(values) - unused for region, values in regions.items()} == REGIONS[era]


@pytest.mark.parametrize("era", ERAS)
def test_what_a_network_predicts_has_published_values(era: str):
    """Every published class, through regions and nnU-Net's own merging of them, is of the same regions again."""
    scheme = ERAS[era].scheme
    regions = [set(entry if isinstance(entry, list) else [entry]) for entry in list(scheme.labels.values())[1:]]
    manager = LabelManager(dict(scheme.labels), scheme.regions_class_order)
    for value in ERAS[era].classes.values():
        logits = np.array([1.0 if value in region else 0.0 for region in regions]).reshape(-1, 1, 1, 1)
        (predicted,) = manager.convert_probabilities_to_segmentation(logits).ravel()
        assert [predicted in region for region in regions] == [value in region for region in regions]


@pytest.mark.parametrize("era", ERAS)
def test_plain_classes_and_back(source: Path, raw: Path, tmp_path: Path, era: str):
    cases = write_tree(source, era)
    assert run_convert("brats", "-i", source, "-d", 501, "--labels", "classes", *told(era)) == 0
    folder = converted(raw)
    description = dataset_json(folder)
    values = sorted(description["labels"].values())
    assert values == list(range(len(ERAS[era].classes) + 1))
    assert "regions_class_order" not in description
    recoded = read(files_of(folder, cases[0])[1])
    assert sorted(np.unique(recoded)) == values

    predictions = tmp_path / "predictions"
    predictions.mkdir()
    for case in cases:
        shutil.copy(files_of(folder, case)[1], predictions / f"{case}{description['file_ending']}")
    back = tmp_path / "back"
    assert run_convert("brats", "--back", "-i", predictions, "-d", 501, "-o", back) == 0
    assert len(names_in(back)) == 3
    published = TREES[era][2] if era in TREES else (1, 2, 3)
    for path in back.iterdir():
        np.testing.assert_array_equal(read(path), segmentation(*published))


def test_back_of_what_it_cannot_read(source: Path, raw: Path, tmp_path: Path, capsys):
    write_tree(source, "2021")
    assert run_convert("brats", "-i", source, "-d", 501, "--labels", "classes") == 0
    predictions = tmp_path / "predictions"
    write(predictions / "good.nii.gz", segmentation(1, 2, 3))
    write(predictions / "strange.nii.gz", segmentation(1, 2, 4))
    truncated(write(predictions / "short.nii.gz", segmentation(1, 2, 3)))
    arguments = ("brats", "--back", "-i", predictions, "-d", 501)
    with pytest.raises(InputError, match="-o FOLDER"):
        run_convert(*arguments)
    assert run_convert(*arguments, "-o", tmp_path / "back") == 1
    output = capsys.readouterr().out
    assert "strange.nii.gz: it has the values [4]" in output
    assert re.search(r"short.nii.gz: .* (is truncated|cannot be read)", output)
    assert names_in(tmp_path / "back") == ["good.nii.gz"]
    with pytest.raises(InputError, match="is not empty"):
        run_convert(*arguments, "-o", tmp_path / "back")
    with pytest.raises(InputError, match=r"no .nii.gz file in"):
        run_convert("brats", "--back", "-i", tmp_path, "-d", 501, "-o", tmp_path / "other")
    with pytest.raises(InputError, match="no data set 777"):
        run_convert("brats", "--back", "-i", predictions, "-d", 777, "-o", tmp_path / "other")


@pytest.mark.parametrize(("era", "other"), [("2012", "2015"), ("2024-ped", "2023")])
def test_ambiguous_names_must_be_told_apart(source: Path, raw: Path, era: str, other: str):
    write_tree(source, era)
    with pytest.raises(InputError, match=f"do not tell what the label values mean.*--era {min(era, other)}.*--era"):
        run_convert("brats", "-i", source, "-d", 501)
    for path in source.rglob("*"):
        if path.name.endswith(("-seg.nii.gz", "_truth.mha")):
            path.unlink()
    assert run_convert("brats", "-i", source, "-d", 501) == 0


def test_a_release_of_another_year_is_never_guessed(source: Path, raw: Path):
    write_case(source, "2023", "BraTS-GLI-00002-000")
    write_case(source, "2024", "BraTS-GLI-02405-100")
    with pytest.raises(InputError, match=r"5 files of 2023, 5 files of 2024.*--era"):
        run_convert("brats", "-i", source, "-d", 501)
    assert run_convert("brats", "-i", source, "-d", 501, "--era", "2024") == 0


def test_unknown_case_names_are_no_era(source: Path, raw: Path):
    """`mr-brain-2mm` has names like BraTS 2017 to 2020 and the values of 2023."""
    write_case(source, "2020", "TCGA-FG-6692", values=(1, 2, 3))
    with pytest.raises(
        InputError, match=r"cases like those of no era \(like .*TCGA-FG-6692.*convert folder --modality"
    ):
        run_convert("brats", "-i", source, "-d", 501)
    with pytest.raises(InputError, match=r"values \[3\]; known are \[0, 1, 2, 4\] \(BraTS 2017 to 2020\)"):
        run_convert("brats", "-i", source, "-d", 501, "--era", "2020")


@pytest.mark.parametrize("era", TREES)
def test_planted_faults(source: Path, raw: Path, capsys, era: str):
    """A fault of each kind, each in a case of its own; the good ones are converted, the others named."""
    good = write_tree(source, era)
    stem = good[2]
    names = {kind: _renamed(stem, number) for number, kind in enumerate(FAULTS, start=1)}
    for kind, name in names.items():
        write_case(source, era, name)
        FAULTS[kind][0](source, era, name)
    arguments = ("brats", "-i", source, "-d", 501, "--era", era)
    with pytest.raises(InputError, match="nothing was written"):
        run_convert(*arguments, "--strict")
    assert names_in(raw) == []
    assert run_convert(*arguments) == 1
    output = capsys.readouterr().out
    assert f"left out: {len(FAULTS)} cases" in output
    for kind, name in names.items():
        assert re.search(f"{name}: .*{FAULTS[kind][1]}", output), (kind, output)
    assert sorted(dataset_json(converted(raw))["nnssl_plugin"]["cases"]) == sorted(good)


def _renamed(case: str, number: int) -> str:
    """The name of another patient in the style of `case`."""
    return re.sub(r"\d{3,}(?=\D*\d?$|-\d{3}$|_\d$)", lambda found: str(number).zfill(len(found[0]) - 1) + "7", case)


def _remove(folder: Path, era: str, case: str) -> None:
    path_of(folder, era, case, "T2").unlink()


def _double(folder: Path, era: str, case: str) -> None:
    path = path_of(folder / "again", era, case, "T2")
    path.parent.mkdir(parents=True)
    shutil.copy(path_of(folder, era, case, "T2"), path)


def _repeat(folder: Path, era: str, case: str) -> None:
    write_case(folder / "again", era, case)


FAULTS = {
    "missing modality": (_remove, "lacks T2; a labelled case needs every modality"),
    "two files for one modality": (_double, "2 files for one T2: "),
    "duplicate case id": (_repeat, "duplicate case id: it is in "),
    "label outside the era's set": (
        lambda folder, era, case: write(path_of(folder, era, case, "label"), segmentation(1, 7)),
        r"its segmentation .* has the values \[7\]; known are ",
    ),
    "segmentation on another grid": (
        lambda folder, era, case: another_grid(path_of(folder, era, case, "label")),
        r"label: .* is not on the grid of T1: spacing ",
    ),
    "truncated file": (
        lambda folder, era, case: truncated(path_of(folder, era, case, "T1c")),
        r"T1c: .* (is truncated|cannot be read)",
    ),
    "unreadable file": (
        lambda folder, era, case: path_of(folder, era, case, "FLAIR").write_bytes(b"no image"),
        "FLAIR: .* cannot be read",
    ),
}


def test_grades_of_folders_and_tables(source: Path, raw: Path, capsys):
    write_case(source / "HGG", "2020", "Brats18_TCIA01_131_1")
    write_case(source / "LGG", "2020", "Brats18_TCIA09_141_1")
    write_case(source, "2020", "BraTS20_Training_001")
    write_case(source / "LGG", "2020", "BraTS20_Training_002")
    (source / "name_mapping.csv").write_text(
        "Grade,BraTS_2019_subject_ID,BraTS_2020_subject_ID\nHGG,NA,BraTS20_Training_001\nHGG,,BraTS20_Training_002\n"
    )
    assert run_convert("brats", "-i", source, "-d", 501) == 0
    with (converted(raw) / "cases.csv").open() as file:
        grades = {row["case"]: row["grade"] for row in csv.DictReader(file)}
    assert grades == {
        "Brats18_TCIA01_131_1": "HGG",
        "Brats18_TCIA09_141_1": "LGG",
        "BraTS20_Training_001": "HGG",
        "BraTS20_Training_002": "",
    }
    output = capsys.readouterr().out
    assert "grades of 3 of 4 cases" in output
    assert "contradictory grades, left empty: BraTS20_Training_002 (HGG, LGG)" in output


def test_a_table_of_grades_without_grades(source: Path, raw: Path):
    """`name_mapping_validation_data.csv` has no such column."""
    write_tree(source, "2020")
    (source / "name_mapping_validation.csv").write_text("BraTS_2020_subject_ID\nBraTS20_Training_001\n")
    assert run_convert("brats", "-i", source, "-d", 501) == 0


def test_the_misnamed_segmentation_of_2020(source: Path, raw: Path):
    write_case(source, "2020", "BraTS20_Training_355")
    label = path_of(source, "2020", "BraTS20_Training_355", "label")
    label.rename(label.with_name("W39_1998.09.19_Segm.nii"))
    assert run_convert("brats", "-i", source, "-d", 501) == 0


def test_the_input_may_be_the_only_case(source: Path, raw: Path):
    write_tree(source, "2015")
    assert run_convert("brats", "-i", source / "brats_2013_pat0001_1", "-d", 501) == 0
    assert list(dataset_json(converted(raw))["nnssl_plugin"]["cases"]) == ["brats_2013_pat0001_1"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"modality": {"0": "T1w", "1": "FLAIR", "2": "t1gd", "3": "T2w"}, "labels": {}}', "not those of Task01"),
        ("{", "cannot be read"),
        (
            '{"modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}, "labels": {"1": "necrosis"}}',
            "the labels are .*not those of Task01",
        ),
    ],
)
def test_a_decathlon_of_another_order(source: Path, raw: Path, content: str, complaint: str):
    write_decathlon(source)
    (source / "dataset.json").write_text(content)
    with pytest.raises(InputError, match=complaint):
        run_convert("brats", "-i", source, "-d", 501)


def test_a_decathlon_file_of_three_dimensions(source: Path, raw: Path, capsys):
    write_decathlon(source)
    write(source / "imagesTr" / "BRATS_002.nii.gz", image())
    assert run_convert("brats", "-i", source, "-d", 501) == 1
    assert re.search("BRATS_002: T1: .* has 3 dimensions .*expected a 4-D image", capsys.readouterr().out)
