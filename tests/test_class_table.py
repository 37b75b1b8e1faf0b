import json
from pathlib import Path

import pytest

from nnssl_plugin.cli import main
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import is_unlabelled, patient_of, table_row_of
from tests.class_data import write_classes
from tests.scans import dataset_json, image, run_convert, segmentation, write
from tests.synthetic import NAME

TABLE = "case,group,grade,age\na,g1,2,40\nb,g1,3,41\nc,g2,,42\nd,g2,3,43\n"


def scans(source: Path, labelled: bool = False) -> Path:
    for seed, case in enumerate("abcd"):
        write(source / f"{case}_t1.nii.gz", image(seed))
        if labelled:
            write(source / f"{case}_seg.nii.gz", segmentation(1))
    return source


def convert(source: Path, text: str, *options: object) -> int:
    table = source.parent / "table.csv"
    table.write_text(text)
    words = ("folder", "-i", source, "-d", 505, "--name", "T", "--modality", "T1=*_t1.nii.gz", "--table", table)
    return run_convert(*words, *options)


def test_columns_and_groups_are_kept(source: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(scans(source), TABLE, "--columns", "grade", "--group", "group") == 0
    content = dataset_json(raw / "Dataset505_T")
    assert table_row_of(content, "a") == {"grade": "2"}
    assert table_row_of(content, "c") == {}
    assert patient_of(content, "d") == "g2"
    assert is_unlabelled(content)
    assert (raw / "Dataset505_T" / "cases.csv").read_text().splitlines() == [
        "case,patient,missing,grade",
        "a,g1,,2",
        "b,g1,,3",
        "c,g2,,",
        "d,g2,,3",
    ]
    out = capsys.readouterr().out
    assert "grade: 2 1, 3 2" in out
    assert "WARNING: 1 cases without grade: c" in out
    assert "nnssl_plugin plan -d 505 -p nnUNetPlans -o NAME --classify grade" in out


def test_another_table_is_another_conversion(source: Path, raw: Path) -> None:
    assert convert(scans(source), TABLE, "--columns", "grade") == 0
    with pytest.raises(InputError, match="exists"):
        convert(source, TABLE, "--columns", "grade", "age")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TABLE, ("--columns", "grad"), r"expected grad \(is it grade\?\)"),
        (TABLE.replace(",", ";"), ("--columns", "grade"), "separator is the semicolon"),
        (TABLE, (), "needs --columns or --group"),
        (TABLE.replace("b,g1,3", "a,g1,3"), ("--columns", "grade"), "case a is listed before with other values"),
        (TABLE.replace("3", "2"), ("--columns", "grade"), "'grade' has one value only"),
        (TABLE.replace("b,g1", "b,"), ("--group", "group"), "line 3: case b has no group"),
        ("case,group,grade\nx,g1,1\ny,g1,2\n", ("--columns", "grade"), r"none of the cases .*\(x, y, …\)"),
        ("case,group\na,g1\n", ("--group", "group"), "case b has no row in the table"),
        ("case,grade\n,3\n", ("--columns", "grade"), "line 2: no case is named"),
    ],
)
def test_bad_tables_are_named_and_nothing_is_written(
    source: Path, raw: Path, text: str, options: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        convert(scans(source), text, *options)
    assert not list(raw.iterdir())


def test_a_group_that_contradicts_the_patient(source: Path, raw: Path) -> None:
    with pytest.raises(InputError, match="case a is of patient a, but of g1"):
        convert(scans(source), TABLE, "--group", "group", "--patient", "(.)")


def test_columns_without_a_table(source: Path, raw: Path) -> None:
    with pytest.raises(InputError, match="name it with --table"):
        run_convert("folder", "-i", source, "-d", 505, "--modality", "T1=*_t1.nii.gz", "--columns", "grade")


def test_measurements_and_strange_cases_are_warned_about(
    source: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(scans(source), TABLE + "e,g9,3,50\n", "--columns", "age") == 0
    out = capsys.readouterr().out
    assert "'age' has 4 values in 4 cases: is it a measurement?" in out
    assert "1 cases of the table that are not in the data set: e" in out


def test_a_table_for_a_data_set_of_another_tool(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = raw / "Dataset506_Theirs"
    scans(folder / "scans", labelled=True)
    for case in "abcd":
        (folder / "imagesTr").mkdir(exist_ok=True)
        (folder / "labelsTr").mkdir(exist_ok=True)
        (folder / "scans" / f"{case}_t1.nii.gz").rename(folder / "imagesTr" / f"{case}_0000.nii.gz")
        (folder / "scans" / f"{case}_seg.nii.gz").rename(folder / "labelsTr" / f"{case}.nii.gz")
    described = {
        "channel_names": {"0": "T1"},
        "labels": {"background": 0, "x": 1},
        "numTraining": 4,
        "file_ending": ".nii.gz",
    }
    for place in (folder, raw.parent / "nnUNet_preprocessed" / folder.name):
        place.mkdir(exist_ok=True)
        (place / "dataset.json").write_text(json.dumps(described))
    table = raw.parent / "table.csv"
    table.write_text(TABLE)
    words = ["convert", "table", "-d", "506", "--table", str(table)]
    assert main([*words, "--columns", "grade", "--group", "group"]) == 0
    assert main([*words, "--columns", "age"]) == 0
    for place in (folder, raw.parent / "nnUNet_preprocessed" / folder.name):
        content = dataset_json(place)
        assert table_row_of(content, "b") == {"grade": "3", "age": "41"}
        assert patient_of(content, "b") == "g1"
        assert {key: content[key] for key in described} == described
    assert (folder / "cases.csv").read_text().splitlines()[2] == "b,g1,,41,3"
    before = (folder / "dataset.json").read_text()
    table.write_text("case,group,grade\na,g3,1\nb,g1,2\nc,g2,1\nd,g2,1\n")
    assert main([*words, "--columns", "grade", "--group", "group"]) == 2
    assert "case a is of patient g1, but of g3" in capsys.readouterr().err
    assert (folder / "dataset.json").read_text() == before


def test_plan_counts_the_classes(nnunet_folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_classes(nnunet_folders)
    words = ["plan", "-d", NAME, "-p", "Tiny", "-o", "Kind", "--classify"]
    assert main([*words, "kinds"]) == 2
    assert "nearest of the data set's table is 'kind'" in capsys.readouterr().err
    assert not (nnunet_folders / "nnUNet_preprocessed" / NAME / "Kind.json").exists()
    assert main([*words, "kind"]) == 0
    out = capsys.readouterr().out
    assert "kind: block 4, plain 4" in out
    assert "tiles a step, at" in out
    assert "-p Kind -tr SSLClassifyTrainer" in out
