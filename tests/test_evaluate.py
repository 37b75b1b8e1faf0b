import argparse
import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from nnssl_plugin.commands import evaluate
from nnssl_plugin.errors import InputError
from nnssl_plugin.evaluation.evaluate import evaluate_folder, file_ending_of
from nnssl_plugin.evaluation.metrics import brats_metrics
from nnssl_plugin.evaluation.regions import BRATS_CONVENTIONS, convention_from_dataset_json

REGION_LABELS = {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [1, 3], "enhancing tumor": [3]}
DATASET_JSON = {"labels": REGION_LABELS, "file_ending": ".nii.gz"}


def write(path: Path, labels: np.ndarray, spacing: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(labels.astype(np.uint8))
    image.SetSpacing([spacing] * 3)
    sitk.WriteImage(image, str(path))


def random_labels(seed: int, values: tuple[int, ...] = (0, 1, 2, 3)) -> np.ndarray:
    return np.random.default_rng(seed).choice(values, size=(6, 7, 8))


def command(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args(["brats", *map(str, arguments)]))


def run_evaluation(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return evaluate.run(parser.parse_args([*map(str, arguments)]))


def reference_dice(prediction: np.ndarray, reference: np.ndarray, members: set[int]) -> float:
    ours = {tuple(i) for value in members for i in np.argwhere(prediction == value)}
    theirs = {tuple(i) for value in members for i in np.argwhere(reference == value)}
    return 2 * len(ours & theirs) / (len(ours) + len(theirs))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions and references of three cases; the third has no enhancing tumour in either."""
    for case, values in (("a", (0, 1, 2, 3)), ("b", (0, 1, 2, 3)), ("no_et", (0, 1, 2))):
        write(tmp_path / "my predictions" / f"{case}.nii.gz", random_labels(ord(case[0]), values))
        write(tmp_path / "references" / f"{case}.nii.gz", random_labels(ord(case[0]) + 1, values))
    return tmp_path / "my predictions", tmp_path / "references"


@pytest.mark.parametrize(
    ("labels", "regions"),
    [
        (REGION_LABELS, {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}),
        # nnU-Net's own BraTS 2021 converter swaps necrosis and oedema.
        (
            {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing tumor": [3]},
            {"WT": (1, 2, 3), "TC": (2, 3), "ET": (3,)},
        ),
        ({"background": 0, "wt": [1, 2, 4], "TC": [1, 4], "ET": 4}, {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}),
        (
            {"background": 0, "NETC": 1, "SNFH": 2, "ET": 3, "RC": 4},
            {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)},
        ),
        (
            {"background": 0, "edema": 1, "non-enhancing tumor": 2, "Enhancing_Tumour": 3},
            {"WT": (1, 2, 3), "TC": (2, 3), "ET": (3,)},
        ),
        (
            {"background": 0, "necrosis": 1, "oedema": 2, "non-enhancing tumour": 3, "enhancing tumour": 4},
            {"WT": (1, 2, 3, 4), "TC": (1, 3, 4), "ET": (4,)},
        ),
        ({"background": 0, "Whole Tumour": 1}, {"WT": (1,)}),
        # What "other" is cannot be known, so neither can the whole tumour nor its core.
        ({"background": 0, "necrotic core": 1, "edema": 2, "enhancing": 3, "other": 4}, {"ET": (3,)}),
    ],
)
def test_regions_from_label_names(labels: dict[str, Any], regions: dict[str, tuple[int, ...]]) -> None:
    convention = convention_from_dataset_json({"labels": labels}, "dataset.json")
    assert convention.regions == regions
    values = [value if isinstance(value, list) else [value] for value in labels.values()]
    assert convention.labels == {value for entry in values for value in entry}


@pytest.mark.parametrize(
    ("dataset_json", "message"),
    [
        ({"labels": {"background": 0, "anterior": 1, "posterior": 2}}, "'anterior' 1, 'posterior' 2.*--convention"),
        ({"labels": {"background": 0, "whole tumor": 1, "tumor core": 2}}, r"TC \(2,\) is not inside WT \(1,\)"),
        ({"labels": REGION_LABELS, "nnssl_plugin": {"unlabelled": True}}, "unlabelled"),
        ({"labels": {**REGION_LABELS, "ignore": 4}}, "ignore"),
    ],
)
def test_regions_are_never_guessed(dataset_json: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        convention_from_dataset_json(dataset_json, "dataset.json")


def test_named_conventions() -> None:
    assert list(BRATS_CONVENTIONS) == list(evaluate.CONVENTIONS["brats"])
    for convention in BRATS_CONVENTIONS.values():
        wt, tc, et = (set(convention.regions[region]) for region in ("WT", "TC", "ET"))
        assert et < tc < wt == convention.labels - {0}
        assert 2 in wt - tc  # oedema


def test_scores_equal_brute_force(folders: tuple[Path, Path]) -> None:
    results = evaluate_folder(*folders, BRATS_CONVENTIONS["brats2023"], brats_metrics)
    assert results["problems"] == []
    for case in "ab":
        pair = random_labels(ord(case)), random_labels(ord(case) + 1)
        for region, members in (("WT", {1, 2, 3}), ("TC", {1, 3}), ("ET", {3})):
            assert results["cases"][case][region]["Dice"] == pytest.approx(reference_dice(*pair, members), abs=1e-12)
    assert results["cases"]["no_et"]["ET"]["Dice"] == 1
    enhancing = [results["cases"][case]["ET"]["Dice"] for case in ("a", "b")]
    assert results["mean"]["ET"]["Dice"] == pytest.approx((sum(enhancing) + 1) / 3)
    assert results["mean_nnunet"]["ET"]["Dice"] == pytest.approx(sum(enhancing) / 2)
    assert results["mean_nnunet"]["WT"]["Dice"] == results["mean"]["WT"]["Dice"]


def test_command_writes_json_csv_and_table(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "result.json"
    assert command(folders[0], "-g", folders[1], "--convention", "brats2023", "-o", output) == 0
    results = json.loads(output.read_text(encoding="utf-8"))
    assert results["regions"] == {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}
    with output.with_suffix(".csv").open() as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert {case: float(row["ET_Dice"]) for case, row in rows.items()} == {
        case: scores["ET"]["Dice"] for case, scores in results["cases"].items()
    }
    printed = capsys.readouterr().out
    assert f"{results['cases']['a']['TC']['Dice']:.4f}" in printed
    assert f"{results['mean_nnunet']['ET']['Dice']:.4f}" in printed.split("nnU-Net")[1]
    assert not list(tmp_path.glob("**/.*unfinished"))


def test_absent_regions_are_said(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    labels = {"background": 0, "whole tumour": [1, 2, 3]}
    (folders[0] / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert command(folders[0], "-g", folders[1]) == 0
    assert "no such labels: TC, ET" in capsys.readouterr().out
    assert set(json.loads((folders[0] / "brats.json").read_text(encoding="utf-8"))["mean"]) == {"WT"}


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p, r: (p / "b.nii.gz").unlink(), "b: no prediction"),
        (lambda p, r: (r / "b.nii.gz").unlink(), "b: no reference"),
        (lambda p, r: truncate(p / "b.nii.gz"), r"b: .*b\.nii\.gz is truncated"),
        (lambda p, r: write(r / "b.nii.gz", random_labels(0), spacing=1.1), "b: geometry .*spacing"),
        (lambda p, r: write(p / "b.nii.gz", random_labels(0)[:5]), "b: geometry .*size"),
        (lambda p, r: write(p / "b.nii.gz", random_labels(0, (0, 1, 4, 9))), "b: .*outside the convention.*: 4, 9"),
    ],
)
def test_what_cannot_be_scored_is_named(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str], spoil: Any, message: str
) -> None:
    spoil(*folders)
    assert command(folders[0], "-g", folders[1], "--convention", "brats2023") == 1
    results = json.loads((folders[0] / "brats.json").read_text(encoding="utf-8"))
    assert len(results["problems"]) == 1
    assert set(results["cases"]) == {"a", "no_et"}
    assert re.search(message, results["problems"][0])
    assert results["problems"][0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--convention", "brats2023"], "no references are known.*-g"),
        (["-g", "REFERENCES"], r"--convention brats2023\|brats2020"),
        (["-g", "EMPTY", "--convention", "brats2023"], "has no .nii.gz file"),
        (["-g", "nowhere", "--convention", "brats2023"], "is not a folder"),
        (["-g", "REFERENCES", "--dataset-json", "nowhere.json"], "nowhere.json cannot be read"),
        (["-g", "REFERENCES", "--convention", "brats2023", "-o", "result.txt"], "result.txt"),
    ],
)
def test_unusable_arguments(folders: tuple[Path, Path], tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    places = {"REFERENCES": str(folders[1]), "EMPTY": str(tmp_path / "empty")}
    with pytest.raises(InputError, match=message):
        command(folders[0], *(places.get(argument, argument) for argument in arguments))
    assert not (folders[0] / "brats.json").exists()


@pytest.fixture
def validation(nnunet_folders: Path) -> Path:
    """A `fold_0/validation` folder of two cases; the data set has four, two of them for training."""
    model = nnunet_folders / "nnUNet_results" / "Dataset501_X" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    preprocessed = nnunet_folders / "nnUNet_preprocessed" / "Dataset501_X"
    for seed, case in enumerate("abcd"):
        write(preprocessed / "gt_segmentations" / f"{case}.nii.gz", random_labels(seed))
    for seed, case in enumerate("ab"):
        write(model / "fold_0" / "validation" / f"{case}.nii.gz", random_labels(seed))
    (model / "dataset.json").write_text(json.dumps(DATASET_JSON))
    (preprocessed / "splits_final.json").write_text(json.dumps([{"train": ["c", "d"], "val": ["a", "b"]}]))
    return model / "fold_0" / "validation"


def test_results_folder_needs_no_arguments(validation: Path) -> None:
    assert command(validation) == 0
    results = json.loads((validation / "brats.json").read_text(encoding="utf-8"))
    assert set(results["cases"]) == {"a", "b"}
    assert results["mean"]["WT"]["Dice"] == 1


def test_results_folder_knows_its_validation_cases(validation: Path) -> None:
    write(validation / "c.nii.gz", random_labels(2))
    (validation / "b.nii.gz").unlink()
    assert command(validation) == 1
    results = json.loads((validation / "brats.json").read_text(encoding="utf-8"))
    assert set(results["cases"]) == {"a"}
    assert [problem[:2] for problem in results["problems"]] == ["b:", "c:"]


def test_fold_all_expects_every_case(validation: Path) -> None:
    everything = validation.parent.rename(validation.parent.with_name("fold_all")) / "validation"
    assert command(everything) == 1
    assert json.loads((everything / "brats.json").read_text(encoding="utf-8"))["expected"] == 4


def test_unlabelled_data_set_is_refused(validation: Path) -> None:
    unlabelled = {**DATASET_JSON, "nnssl_plugin": {"unlabelled": True}}
    (validation.parents[1] / "dataset.json").write_text(json.dumps(unlabelled))
    for arguments in ([], ["--convention", "brats2023"]):
        with pytest.raises(InputError, match="unlabelled"):
            command(validation, *arguments)


SLICES = {"one slice": (0,), "one column": (2,), "two dimensions": ()}


@pytest.mark.parametrize("axes", SLICES.values(), ids=SLICES)
def test_images_of_one_slice(tmp_path: Path, nnunet_folders: Path, axes: tuple[int, ...]) -> None:
    """Pixels of 0.5 mm; an image of two dimensions, or of three with one voxel along one of them."""
    model = nnunet_folders / "nnUNet_results" / "Dataset501_X" / "nnUNetTrainer__nnUNetPlans__2d"
    raw, predictions = nnunet_folders / "nnUNet_raw" / "Dataset501_X", model / "fold_0" / "validation"
    reference, prediction = np.zeros((2, 40, 45), np.uint8)
    reference[5:35, 5:35] = prediction[5:35, 5:35] = 1
    prediction[15:25, 15:25] = 0
    spacing = list(np.insert([0.5, 0.5], axes, 5.0)[::-1])
    for path, values in (
        (tmp_path / "references" / "a.nii.gz", reference),
        (predictions / "a.nii.gz", prediction),
        (raw / "imagesTr" / "a_0000.nii.gz", prediction),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        image = sitk.GetImageFromArray(np.expand_dims(values, axes))
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(path))
    described = {
        "labels": {"background": 0, "lesion": 1},
        "file_ending": ".nii.gz",
        "channel_names": {"0": "US"},
        "numTraining": 1,
    }
    for folder in (model, raw):
        (folder / "dataset.json").write_text(json.dumps(described))
    assert run_evaluation("regions", predictions, "-g", tmp_path / "references") == 0
    scores = json.loads((predictions / "regions.json").read_text(encoding="utf-8"))["cases"]["a"]["lesion"]
    assert scores["Dice"] == pytest.approx(2 * 800 / (800 + 900))
    # The contour of the hole is ten pixels inside, the centres of its pixels are nine. Where every pixel was surface: 1 mm.
    assert scores["HD95"] == pytest.approx(10 * 0.5)
    assert scores["HD95 of voxel centres"] == pytest.approx(9 * 0.5)
    page = (predictions / "regions.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2


def test_pictures(tmp_path: Path, nnunet_folders: Path) -> None:
    """As nnU-Net writes the predictions of its data sets of PNG files; distances are in pixels."""
    model = nnunet_folders / "nnUNet_results" / "Dataset501_X" / "nnUNetTrainer__nnUNetPlans__2d"
    raw, predictions = nnunet_folders / "nnUNet_raw" / "Dataset501_X", model / "fold_0" / "validation"
    reference, prediction = np.zeros((2, 40, 45), np.uint8)
    reference[5:35, 5:35] = prediction[5:35, 5:35] = 1
    prediction[15:25, 15:25] = 0
    for path, values in (
        (tmp_path / "references" / "a.png", reference),
        (predictions / "a.png", prediction),
        (raw / "imagesTr" / "a_0000.png", 50 * prediction),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(path)
    described = {"labels": {"background": 0, "lesion": 1}, "file_ending": ".png", "channel_names": {"0": "US"}}
    for folder in (model, raw):
        (folder / "dataset.json").write_text(json.dumps({**described, "numTraining": 1}))
    assert run_evaluation("regions", predictions, "-g", tmp_path / "references") == 0
    scores = json.loads((predictions / "regions.json").read_text(encoding="utf-8"))["cases"]["a"]["lesion"]
    assert scores["Dice"] == pytest.approx(2 * 800 / (800 + 900))
    assert scores["HD95"] == pytest.approx(10)
    assert (predictions / "regions.html").read_text(encoding="utf-8").count("data:image/png;base64,") == 2
    # Of another size, and with a value that is no label.
    Image.fromarray(prediction[:30]).save(predictions / "a.png")
    assert run_evaluation("regions", predictions, "-g", tmp_path / "references") == 1
    Image.fromarray(255 * prediction).save(predictions / "a.png")
    assert run_evaluation("regions", predictions, "-g", tmp_path / "references") == 1
    # A picture beside volumes is none of them.
    assert file_ending_of(predictions) == ".png"
    write(predictions / "b.nii.gz", random_labels(5))
    assert file_ending_of(predictions) == ".nii.gz"


def test_results_say_which_version_of_the_metrics_they_are_of(folders: tuple[Path, Path]) -> None:
    assert command(folders[0], "-g", folders[1], "--convention", "brats2023") == 0
    assert json.loads((folders[0] / "brats.json").read_text(encoding="utf-8"))["metrics_version"] == 2


def test_names_that_are_tags_are_text(folders: tuple[Path, Path]) -> None:
    """A region, a case and a case with a problem, in the page; the region in Markdown too."""
    for folder in folders:
        write(folder / "<b>case.nii.gz", random_labels(5))
    write(folders[0] / "<img src=x>.nii.gz", random_labels(5))
    labels = {"background": 0, "<i>lesion": [1, 2, 3]}
    (folders[0] / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert run_evaluation("regions", folders[0], "-g", folders[1]) == 1
    page = (folders[0] / "regions.html").read_text(encoding="utf-8")
    for tag in ("<b>", "<i>", "<img src=x>"):
        assert tag not in page
        assert tag.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "&lt;section" not in page
    assert "\n| \\<i>lesion |" in (folders[0] / "regions.md").read_text(encoding="utf-8")


def test_real_segmentations(real_data: Path, tmp_path: Path) -> None:
    case = "BraTS-GLI-00000-000"
    source = real_data / "brats2023" / case / f"{case}-seg.nii.gz"
    image = sitk.ReadImage(str(source))
    labels = sitk.GetArrayFromImage(image)
    shifted = sitk.GetImageFromArray(np.roll(labels, 2, axis=2))
    shifted.CopyInformation(image)
    for folder, content in (("references", image), ("equal", image), ("shifted", shifted)):
        (tmp_path / folder).mkdir()
        sitk.WriteImage(content, str(tmp_path / folder / f"{case}.nii.gz"), True, 1)
    convention = BRATS_CONVENTIONS["brats2023"]
    equal = evaluate_folder(tmp_path / "equal", tmp_path / "references", convention, brats_metrics)
    assert [equal["mean"][region]["Dice"] for region in ("WT", "TC", "ET")] == [1, 1, 1]
    moved = evaluate_folder(tmp_path / "shifted", tmp_path / "references", convention, brats_metrics)
    for region, members in convention.regions.items():
        mask = np.isin(labels, members)
        overlap = mask[..., 2:] & mask[..., :-2]
        assert moved["mean"][region]["Dice"] == pytest.approx(overlap.sum() / mask.sum(), abs=1e-9)
        assert 0.3 < moved["mean"][region]["Dice"] < 1


@pytest.mark.parametrize("content", ['{"labels": {"0": "background"}}', '{"labels": ["background"]}', "[]", "{"])
def test_what_is_no_dataset_json(folders: tuple[Path, Path], tmp_path: Path, content: str) -> None:
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(InputError, match=r"d\.json (is not a dataset\.json of nnU-Net v2|cannot be read as JSON)"):
        command(folders[0], "-g", folders[1], "--dataset-json", tmp_path / "d.json")


def test_what_is_undefined_is_counted(tmp_path: Path) -> None:
    """Neither case has the right kidney in its reference; one prediction invents it."""
    for case, organs, predicted in (("a", (0, 63), (0, 63, 126)), ("b", (0, 63, 252), (0, 63, 252))):
        write(tmp_path / "references" / f"{case}.nii.gz", random_labels(1, organs))
        write(tmp_path / "predictions" / f"{case}.nii.gz", random_labels(2, predicted))
    arguments = ["chaos", tmp_path / "predictions", "-g", tmp_path / "references", "--convention", "chaos"]
    assert run_evaluation(*arguments) == 0
    results = json.loads((tmp_path / "predictions" / "chaos.json").read_text(encoding="utf-8"))
    assert list(results["mean"]) == ["liver", "right kidney", "left kidney", "spleen"]
    assert results["undefined"] == {"right kidney": {"RAVD": 1}}
    assert results["cases"]["a"]["right kidney"]["RAVD"] is None
    assert results["mean"]["right kidney"]["RAVD"] == 0
    assert results["cases"]["a"]["right kidney"]["Dice"] == 0
    assert results["cases"]["b"]["right kidney"] == {"Dice": 1, "RAVD": 0, "ASSD": 0, "MSSD": 0}
    assert results["cases"]["b"]["left kidney"]["Dice"] == 1


def test_regions_of_any_data_set(folders: tuple[Path, Path]) -> None:
    labels = {"background": 0, "anterior": 1, "whole": [1, 2, 3], "posterior": 2, "rest": 3}
    (folders[0] / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert run_evaluation("regions", folders[0], "-g", folders[1]) == 0
    results = json.loads((folders[0] / "regions.json").read_text(encoding="utf-8"))
    assert results["regions"] == {"anterior": [1], "whole": [1, 2, 3], "posterior": [2], "rest": [3]}
    expected = reference_dice(random_labels(ord("a")), random_labels(ord("a") + 1), {2})
    assert results["cases"]["a"]["posterior"]["Dice"] == pytest.approx(expected)
    assert set(results["mean"]["whole"]) == {"Dice", "HD95", "HD95 of voxel centres", "Sensitivity", "Specificity"}


@pytest.mark.parametrize(
    ("evaluation", "labels", "message"),
    [
        ("chaos", {"background": 0, "tumour": 1}, "none of CHAOS's organs.*'tumour'"),
        ("regions", {"background": 0}, "no label but the background"),
        ("regions", {"background": 0, "a": 1, "ignore": 2}, "ignore"),
    ],
)
def test_label_names_that_give_no_region(folders, evaluation: str, labels: dict, message: str) -> None:
    (folders[0] / "dataset.json").write_text(json.dumps({"labels": labels}))
    with pytest.raises(InputError, match=message):
        run_evaluation(evaluation, folders[0], "-g", folders[1])


def test_without_dataset_json_regions_are_not_guessed(folders: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match="name it with --dataset-json FILE"):
        run_evaluation("regions", folders[0], "-g", folders[1])


def test_tables_and_page(folders: tuple[Path, Path]) -> None:
    assert command(folders[0], "-g", folders[1], "--convention", "brats2023") == 0
    results = json.loads((folders[0] / "brats.json").read_text(encoding="utf-8"))
    wt = [f"{results['mean']['WT'][metric]:.4f}" for metric in ("Dice", "Sensitivity")]
    markdown = (folders[0] / "brats.md").read_text(encoding="utf-8").splitlines()
    assert [markdown[2].split(" | ")[i] for i in (1, 4)] == wt
    latex = (folders[0] / "brats.tex").read_text(encoding="utf-8")
    # One column is nnU-Net's mean of Dice, which differs: a region is empty in both masks of a case.
    assert latex.startswith("\\begin{tabular}{lrrrrrrrr}\n")
    assert f"WT & {wt[0]} & " in latex
    page = (folders[0] / "brats.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(http|//)', page)
    assert page.count("data:image/png;base64,") == 1
    assert "the images are not in nnUNet_raw" in page


def test_pictures_of_the_worst_and_best_cases(validation: Path, nnunet_folders: Path) -> None:
    model = validation.parents[1]
    described = {**DATASET_JSON, "channel_names": {"0": "FLAIR"}}
    (model / "dataset.json").write_text(json.dumps(described))
    for case in "ab":
        path = nnunet_folders / "nnUNet_raw" / model.parent.name / "imagesTr" / f"{case}_0000.nii.gz"
        write(path, random_labels(5))
    raw = nnunet_folders / "nnUNet_raw" / model.parent.name
    listing = {case: {"images": [f"imagesTr/{case}_0000.nii.gz"], "label": f"labelsTr/{case}.nii.gz"} for case in "ab"}
    for layout in ({}, {"dataset": listing}):
        (raw / "dataset.json").write_text(json.dumps({**described, **layout}))
        assert command(validation) == 0
        page = (validation / "brats.html").read_text(encoding="utf-8")
        assert "Worst cases by mean Dice" in page
        assert page.count("data:image/png;base64,") == 1 + 2


def test_files_of_another_ending_are_named(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    for folder in folders:
        write(folder / "other.nii", random_labels(5))
    write(folders[0] / "third.mha", random_labels(5))
    assert command(folders[0], "-g", folders[1], "--convention", "brats2023") == 1
    problems = capsys.readouterr().err
    assert "3 problems" in problems
    for name in ("other.nii", "third.mha"):
        assert f"{name}: another ending than .nii.gz, so it is not scored" in problems


def test_the_ending_is_that_of_most_files(tmp_path: Path) -> None:
    for name in "ab":
        for folder in ("predicted", "references"):
            write(tmp_path / folder / f"{name}.mha", random_labels(5))
    assert command(tmp_path / "predicted", "-g", tmp_path / "references", "--convention", "brats2023") == 0


def test_an_undefined_mean_says_over_how_many_cases_it_is(tmp_path: Path) -> None:
    full, empty = np.full((6, 7, 8), 63, np.uint8), np.zeros((6, 7, 8), np.uint8)
    for name, reference in (("a", full), ("b", empty)):
        write(tmp_path / "predicted" / f"{name}.nii.gz", full)
        write(tmp_path / "references" / f"{name}.nii.gz", reference)
    assert run_evaluation("chaos", tmp_path / "predicted", "-g", tmp_path / "references", "--convention", "chaos") == 0
    for ending in ("md", "tex", "html"):
        assert "0.00 (1 cases)" in (tmp_path / "predicted" / f"chaos.{ending}").read_text(encoding="utf-8")
    assert "undefined for 1 cases" in (tmp_path / "predicted" / "chaos.html").read_text(encoding="utf-8")
