import argparse
import sys
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError

SUMMARIES = {
    "brats": "WT, TC and ET of BraTS, as in 2023: Dice, HD95 (mm), sensitivity, specificity, lesion-wise Dice and HD95",
    "chaos": "organs of CHAOS: Dice, RAVD (%%), ASSD and MSSD (mm)",
    "regions": "every label or region of a dataset.json: Dice, HD95 (mm), sensitivity, specificity",
}
CLASSES = "classes of whole cases: AUC, accuracy, F1, calibration"
CONVENTIONS = {
    "brats": {
        "brats2023": "1 necrotic core, 2 oedema, 3 enhancing tumour",
        "brats2020": "1 necrotic core, 2 oedema, 4 enhancing tumour",
    },
    "chaos": {"chaos": "63 liver, 126 right kidney, 189 left kidney, 252 spleen"},
    "regions": {},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin evaluate`: one subcommand per evaluation."""
    evaluations = parser.add_subparsers(dest="challenge", required=True, metavar="EVALUATION")
    for name, summary in SUMMARIES.items():
        one = evaluations.add_parser(name, help=summary, description=summary)
        one.add_argument(
            "predictions", type=Path, metavar="PREDICTIONS", help="folder of predictions, e.g. …/fold_0/validation"
        )
        one.add_argument(
            "-g",
            type=Path,
            metavar="REFERENCES",
            help="folder of reference segmentations (default in a results folder: the data set's gt_segmentations)",
        )
        labels = one.add_mutually_exclusive_group()
        if CONVENTIONS[name]:
            meaning = "; ".join(f"{key}: {values}" for key, values in CONVENTIONS[name].items())
            labels.add_argument("--convention", choices=list(CONVENTIONS[name]), help=f"label values. {meaning}")
        labels.add_argument("--dataset-json", type=Path, metavar="FILE", help="take the regions from its label names")
        one.add_argument(
            "-o",
            type=Path,
            metavar="JSON",
            help=f"result file (default: PREDICTIONS/{name}.json); tables and a page go to the same folder",
        )
    classes = evaluations.add_parser("classes", help=CLASSES, description=CLASSES)
    classes.add_argument(
        "predictions",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="predictions.csv files, of `nnssl_plugin classify` or of folds",
    )
    classes.add_argument(
        "-g", type=Path, required=True, metavar="TABLE", help="CSV file with the true classes and a column `case`"
    )
    classes.add_argument(
        "--columns", nargs="+", default=[], metavar="NAME", help="columns to score (default: all that were predicted)"
    )
    classes.add_argument(
        "--positive",
        nargs="+",
        default=[],
        metavar="COLUMN=CLASS",
        help="class whose F1 is reported (default: the rarest class)",
    )
    classes.add_argument(
        "-o", type=Path, metavar="JSON", help="result file (default: classes.json in the folder of the first file)"
    )


def run(args: argparse.Namespace) -> int:
    """Score, print and save; 1 if any case could not be scored."""
    return _classes(args) if args.challenge == "classes" else _segmentations(args)


def _classes(args: argparse.Namespace) -> int:
    from nnssl_plugin.evaluation.evaluate_classes import evaluate_classes
    from nnssl_plugin.files import write_json, write_text
    from nnssl_plugin.report.class_tables import classes_case_table, scores_table
    from nnssl_plugin.report.classes_page import classes_page

    output = args.o or args.predictions[0].with_name("classes.json")
    if output.suffix != ".json" or not output.absolute().parent.is_dir():
        raise InputError(f"-o {output}: the name of a .json file in an existing folder is needed")
    if wrong := [text for text in args.positive if "=" not in text]:
        raise InputError(f"--positive {wrong[0]}: COLUMN=CLASS is expected")
    positive = dict(text.split("=", 1) for text in args.positive)
    results = evaluate_classes(args.predictions, args.g, positive, args.columns)
    write_json(results, output)
    scores = scores_table(results)
    write_text(output.with_suffix(".csv"), classes_case_table(results).csv())
    write_text(output.with_suffix(".md"), scores.markdown())
    write_text(output.with_suffix(".tex"), scores.latex())
    write_text(output.with_suffix(".html"), classes_page(results))
    print(scores.text())
    if missing := results["not_predicted"]:
        print(f"{len(missing)} cases of {args.g} have no prediction: {', '.join(missing[:10])}", file=sys.stderr)
    print(f"\nwritten: {output}, with the same name and .csv (cases), .md and .tex (scores), .html (page)")
    return 1 if missing else 0


def _segmentations(args: argparse.Namespace) -> int:
    from nnssl_plugin.evaluation.evaluate_predictions import evaluate_predictions
    from nnssl_plugin.files import write_json, write_text
    from nnssl_plugin.report.evaluation_page import evaluation_page
    from nnssl_plugin.report.evaluation_table import case_table, mean_table

    predictions = args.predictions.resolve()
    if not predictions.is_dir():
        raise InputError(f"{args.predictions} is not a folder of predictions")
    output = args.o or predictions / f"{args.challenge}.json"
    if output.suffix != ".json" or not output.absolute().parent.is_dir():
        raise InputError(f"-o {output}: the name of a .json file in an existing folder is needed")
    results, dataset_json = evaluate_predictions(
        args.challenge, predictions, args.g, getattr(args, "convention", None), args.dataset_json
    )
    write_json(results, output)
    means = mean_table(results)
    write_text(output.with_suffix(".csv"), case_table(results).csv())
    write_text(output.with_suffix(".md"), means.markdown())
    write_text(output.with_suffix(".tex"), means.latex())
    write_text(
        output.with_suffix(".html"), evaluation_page(results, predictions, Path(results["references"]), dataset_json)
    )
    _print(results)
    print(f"\nwritten: {output}, with the same name and .csv (cases), .md and .tex (means), .html (page)")
    return 1 if results["problems"] else 0


def _print(results: dict[str, Any]) -> None:
    from nnssl_plugin.report.evaluation_table import NNUNET_ROW, dice_table, mean_table, undefined_lines

    print(f"labels by {results['convention']}: {results['regions']}")
    absent = [region for region in ("WT", "TC", "ET") if region not in results["regions"]]
    if absent and results["evaluation"] == "brats":
        print(f"not evaluated, because {results['convention']} has no such labels: {', '.join(absent)}")
    print(f"\n{dice_table(results).text()}\n\n{mean_table(results).text()}")
    if any(row[0] == NNUNET_ROW for row in dice_table(results).rows):
        print("The means differ: nnU-Net leaves a region that is empty in both out, the other counts it as 1.")
    for line in undefined_lines(results):
        print(line)
    print(f"{results['scored']} of {results['expected']} expected cases scored")
    if results["problems"]:
        print(f"{len(results['problems'])} problems; cases with a problem are left out of all means:", file=sys.stderr)
        for problem in results["problems"]:
            print(f"  {problem}", file=sys.stderr)
