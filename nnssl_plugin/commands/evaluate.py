import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnssl_plugin.atomic import write_text
from nnssl_plugin.errors import InputError

if TYPE_CHECKING:
    from nnssl_plugin.evaluation.regions import LabelConvention

CONVENTIONS = ("brats2023", "brats2020")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin evaluate`: one subcommand per challenge."""
    challenges = parser.add_subparsers(dest="challenge", required=True, metavar="CHALLENGE")
    summary = "WT, TC and ET Dice of BraTS, per case and mean"
    brats = challenges.add_parser("brats", help=summary, description=summary)
    brats.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="e.g. …/fold_0/validation")
    brats.add_argument(
        "-g",
        type=Path,
        metavar="REFERENCES",
        help="folder; default in a results folder: the data set's gt_segmentations",
    )
    labels = brats.add_mutually_exclusive_group()
    labels.add_argument(
        "--convention",
        choices=CONVENTIONS,
        help="label values: 1 necrotic core, 2 oedema, and enhancing tumour 3 (brats2023) or 4 (brats2020)",
    )
    labels.add_argument("--dataset-json", type=Path, metavar="FILE", help="read the regions from its label names")
    brats.add_argument("-o", type=Path, metavar="JSON", help="default: PREDICTIONS/brats.json; a .csv goes beside it")


def run(args: argparse.Namespace) -> int:
    """Score, print and save; 1 if any case could not be scored."""
    from nnssl_plugin.evaluation.brats import evaluate_brats
    from nnssl_plugin.evaluation.results_folder import dataset_json_of, validation_cases

    predictions = args.predictions.resolve()
    if not predictions.is_dir():
        raise InputError(f"{args.predictions} is not a folder of predictions")
    output = args.o or predictions / "brats.json"
    if output.suffix != ".json" or not output.absolute().parent.is_dir():
        raise InputError(f"-o {output}: the name of a .json file in an existing folder is needed")
    found = args.dataset_json or dataset_json_of(predictions)
    dataset_json = _read(found) if found else {}
    convention = _convention(args.convention, found, dataset_json)
    references = args.g or _references(predictions, dataset_json)
    file_ending = dataset_json.get("file_ending", ".nii.gz")

    results = evaluate_brats(predictions, references, convention, validation_cases(predictions), file_ending)
    write_text(output, json.dumps(results, indent=4))
    write_text(output.with_suffix(".csv"), _csv(results))
    _print(results)
    print(f"\nwritten: {output} and {output.with_suffix('.csv').name}")
    return 1 if results["problems"] else 0


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a dataset.json: {error}") from None
    if "labels" not in content:
        raise InputError(f"{path} is not a dataset.json: it has no 'labels'")
    return content


def _convention(name: str | None, path: Path | None, dataset_json: dict[str, Any]) -> "LabelConvention":
    from nnssl_plugin.evaluation.regions import BRATS_CONVENTIONS, convention_from_dataset_json

    if name:
        return BRATS_CONVENTIONS[name]
    if path is None:
        raise InputError(
            "no dataset.json beside the predictions or in their model's folder tells what the labels mean; name the "
            f"convention with --convention {'|'.join(CONVENTIONS)} or --dataset-json FILE"
        )
    return convention_from_dataset_json(dataset_json, str(path))


def _references(predictions: Path, dataset_json: dict[str, Any]) -> Path:
    from nnssl_plugin.data.dataset_json import is_unlabelled
    from nnssl_plugin.evaluation.results_folder import references_of

    if is_unlabelled(dataset_json):
        raise InputError(f"the data set of {predictions} is unlabelled; name references with -g")
    references = references_of(predictions)
    if references is None:
        raise InputError(f"no references are known for {predictions}; name their folder with -g")
    return references


def _csv(results: dict[str, Any]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", *(f"{region}_Dice" for region in results["regions"])])
    for case, scores in results["cases"].items():
        writer.writerow([case, *(scores[region]["Dice"] for region in results["regions"])])
    return text.getvalue()


def _print(results: dict[str, Any]) -> None:
    regions = results["regions"]
    rows = {case: [scores[region]["Dice"] for region in regions] for case, scores in results["cases"].items()}
    means = {"mean (BraTS: empty in both = 1)": [results["mean"][region]["Dice"] for region in regions]}
    nnunet = [results["mean_nnunet"][region]["Dice"] for region in regions]
    if nnunet != next(iter(means.values())):
        means["mean (nnU-Net: empty in both left out)"] = nnunet
    width = max(map(len, [*rows, *means]))

    print(f"Dice, labels by {results['convention']}: {regions}")
    absent = [region for region in ("WT", "TC", "ET") if region not in regions]
    if absent:
        print(f"not evaluated, because {results['convention']} has no such labels: {', '.join(absent)}")
    print(f"{'case':{width}}" + "".join(f"{region:>8}" for region in regions))
    for title, scores in [*rows.items(), *means.items()]:
        print(f"{title:{width}}" + "".join(f"{'-' if score is None else format(score, '.4f'):>8}" for score in scores))
    print(f"{results['scored']} of {results['expected']} expected cases scored")
    if results["problems"]:
        print(f"{len(results['problems'])} problems; cases with a problem are in no mean:", file=sys.stderr)
        for problem in results["problems"]:
            print(f"  {problem}", file=sys.stderr)
