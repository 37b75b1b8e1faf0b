from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnssl_plugin.data.cohort import gather_cohort
from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.dataset_json import patient_of, side_files_of, without_cases
from tests.reports import text
from tests.scans import conversion_json, dataset_json, run_convert
from tests.synthetic import make_plans, write_dataset

HEAD = "case,image,report,group\n"


def cases(source: Path, names: str = "abcd") -> str:
    """Pictures and reports; the rows of their table, two of a group."""
    rows = []
    for number, name in enumerate(names):
        values = np.random.default_rng(number).integers(0, 255, (20, 24), dtype=np.uint8)
        Image.fromarray(values).save(source / f"{name}.png")
        (source / f"{name}.txt").write_text(text(number), encoding="utf-8")
        rows.append(f"{name},{name}.png,{name}.txt,g{number // 2}\n")
    return HEAD + "".join(rows)


def convert(source: Path, table: str, *options: object) -> int:
    (source / "cases.csv").write_text(table, encoding="utf-8")
    words = ("reports", "-i", source, "-d", 541, "--name", "X", "--table", "cases.csv", "--image", "image")
    return run_convert(*words, "--report", "report", *(options or ("--group", "group")))


def test_reports_are_kept_with_the_data_set(source: Path, raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = cases(source)
    (source / "b.txt").write_text((source / "a.txt").read_text(encoding="utf-8"), encoding="utf-8")
    (source / "c.txt").write_text("38 \ufffdC, \ufffd cough", encoding="utf-8")
    assert convert(source, table) == 0
    folder = raw / "Dataset541_X"
    content = dataset_json(folder)
    assert side_files_of(content, "d") == {"report": "reportsTr/d.txt"}
    assert (folder / "reportsTr" / "d.txt").read_text(encoding="utf-8") == text(3)
    assert [patient_of(content, case) for case in "abcd"] == ["g0", "g0", "g1", "g1"]
    assert content["channel_names"] == {"0": "image"}
    assert "report" not in str(without_cases(content))
    assert conversion_json(folder)["cases"]["a"]["files"]["report"] == {"file": "reportsTr/a.txt", "how": "copied"}
    out = capsys.readouterr().out
    assert "2 cases share 1 reports word for word (like a and b)" in out
    assert "1 reports hold 2 U+FFFD" in out
    assert "reports of 4 to 15 words, median 15" in out
    # A changed report is another conversion, the same is none.
    assert convert(source, table) == 0
    assert "nothing to do" in capsys.readouterr().out
    (source / "d.txt").write_text("Something else.")
    with pytest.raises(InputError, match="exists"):
        convert(source, table)


def test_cases_without_a_usable_report_are_left_out_and_named(
    source: Path, raw: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = cases(source, "abcdefg").replace("c.txt", "").replace("d.txt", "z.txt").replace("g.png", "z.png")
    (source / "e.txt").write_bytes(b"")
    (source / "f.txt").write_bytes(b"\xff\xd8\xff\0")
    assert convert(source, table) == 1
    assert sorted(dataset_json(raw / "Dataset541_X")["nnssl_plugin"]["cases"]) == ["a", "b"]
    out = capsys.readouterr().out
    for message in ("the table names no report", "report: there is no", "e.txt: the report is empty", "is not UTF-8"):
        assert message in out
    assert "image: there is no" in out
    with pytest.raises(InputError, match="nothing was written"):
        convert(source, table, "--group", "group", "--strict", "--overwrite")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (("", ""), ("--columns", "group"), "need --table FILE --group COLUMN"),
        (("image", "images"), (), r"expected image \(is it images\?\)"),
        (("b,b.png", "a,b.png"), (), "line 3: case a stands in line 2 too"),
        (("a,a.png", ",a.png"), (), "line 2: no case is named"),
        (("txt", "doc"), (), "no image with a report: report: there is no"),
        (("b.txt,g0", "b.txt,"), (), "case b has no group"),
    ],
)
def test_bad_tables(source: Path, raw: Path, change: tuple[str, str], options: tuple[str, ...], message: str) -> None:
    table = cases(source)
    with pytest.raises(InputError, match=message):
        convert(source, table.replace(*change) if change[0] else table, *options)
    assert not list(raw.iterdir())


def test_the_records_of_a_run_name_the_reports(nnunet_folders: Path) -> None:
    stated = {f"case0{i}": {"files": {"report": f"reportsTr/case0{i}.txt"}} for i in range(3)}
    plans = make_plans()
    names = write_dataset(nnunet_folders, plans, cases=3, nnssl_plugin={"cases": stated})
    description = dataset_json(nnunet_folders / "nnUNet_preprocessed" / plans["dataset_name"])
    records = gather_cohort(plans, "nnUNetPlans_2d", description, names, [], [], print)
    folder = nnunet_folders / "nnUNet_raw" / plans["dataset_name"]
    assert [record.files["report"] for record in records] == [folder / f"reportsTr/{name}.txt" for name in names]
