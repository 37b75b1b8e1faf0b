import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnssl_plugin.errors import InputError

if TYPE_CHECKING:
    from nnssl_plugin.evaluation.regions import LabelConvention

SUMMARIES = {
    "brats": "WT, TC and ET of BraTS, as in 2023: Dice, HD95 (mm), sensitivity, specificity, lesion-wise Dice and HD95",
    "chaos": "organs of CHAOS: Dice, RAVD (%%), ASSD and MSSD (mm)",
    "regions": "every label or region of a dataset.json: Dice, HD95 (mm), sensitivity, specificity",
}
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
        one.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="e.g. …/fold_0/validation")
        one.add_argument(
            "-g",
            type=Path,
            metavar="REFERENCES",
            help="folder; default in a results folder: the data set's gt_segmentations",
        )
        labels = one.add_mutually_exclusive_group()
        if CONVENTIONS[name]:
            meaning = "; ".join(f"{key}: {values}" for key, values in CONVENTIONS[name].items())
            labels.add_argument("--convention", choices=list(CONVENTIONS[name]), help=f"label values. {meaning}")
        labels.add_argument("--dataset-json", type=Path, metavar="FILE", help="take the regions from its label names")
        one.add_argument(
            "-o", type=Path, metavar="JSON", help=f"default: PREDICTIONS/{name}.json; tables and a page go beside it"
        )


def run(args: argparse.Namespace) -> int:
    """Score, print and save; 1 if any case could not be scored."""
    from nnssl_plugin.evaluation.evaluate import evaluate_folder, file_ending_of
    from nnssl_plugin.evaluation.metrics import brats_metrics, chaos_metrics, region_metrics
    from nnssl_plugin.files import write_json, write_text
    from nnssl_plugin.nnunet.results_folder import dataset_json_of, validation_cases
    from nnssl_plugin.report.evaluation_page import evaluation_page
    from nnssl_plugin.report.evaluation_table import case_table, mean_table

    predictions = args.predictions.resolve()
    if not predictions.is_dir():
        raise InputError(f"{args.predictions} is not a folder of predictions")
    output = args.o or predictions / f"{args.challenge}.json"
    if output.suffix != ".json" or not output.absolute().parent.is_dir():
        raise InputError(f"-o {output}: the name of a .json file in an existing folder is needed")
    found = args.dataset_json or dataset_json_of(predictions)
    dataset_json = _read(found) if found else {}
    convention = _convention(args.challenge, getattr(args, "convention", None), found, dataset_json)
    references = args.g.resolve() if args.g else _references(predictions, dataset_json)
    measures = {"brats": brats_metrics, "chaos": chaos_metrics, "regions": region_metrics}
    results = evaluate_folder(
        predictions,
        references,
        convention,
        measures[args.challenge],
        validation_cases(predictions),
        dataset_json.get("file_ending") or file_ending_of(predictions),
    )
    results["evaluation"] = args.challenge
    write_json(results, output)
    means = mean_table(results)
    write_text(output.with_suffix(".csv"), case_table(results).csv())
    write_text(output.with_suffix(".md"), means.markdown())
    write_text(output.with_suffix(".tex"), means.latex())
    write_text(output.with_suffix(".html"), evaluation_page(results, predictions, references, dataset_json))
    _print(results)
    print(f"\nwritten: {output}, with the same name and .csv (cases), .md and .tex (means), .html (page)")
    return 1 if results["problems"] else 0


def _read(path: Path) -> dict[str, Any]:
    from nnssl_plugin.files import read_json

    content = read_json(path)
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict) or not all(isinstance(value, int | list) for value in labels.values()):
        raise InputError(f"{path} is not a dataset.json of nnU-Net v2: it has no 'labels' of the kind name: value")
    return dict(content)


def _convention(challenge: str, name: str | None, path: Path | None, dataset_json: dict[str, Any]) -> "LabelConvention":
    from nnssl_plugin.evaluation import regions

    if name:
        return {**regions.BRATS_CONVENTIONS, "chaos": regions.CHAOS_CONVENTION}[name]
    if path is None:
        names = "|".join(CONVENTIONS[challenge])
        raise InputError(
            "no dataset.json beside the predictions or in their model's folder says what the labels mean; name "
            f"{f'the convention with --convention {names} or ' if names else 'it with '}--dataset-json FILE"
        )
    return regions.READERS[challenge](dataset_json, str(path))


def _references(predictions: Path, dataset_json: dict[str, Any]) -> Path:
    from nnssl_plugin.nnunet.dataset_json import is_unlabelled
    from nnssl_plugin.nnunet.results_folder import references_of

    if is_unlabelled(dataset_json):
        raise InputError(f"the data set of {predictions} is unlabelled; name references with -g")
    references = references_of(predictions)
    if references is None:
        raise InputError(f"no references are known for {predictions}; name their folder with -g")
    return references


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
        print(f"{len(results['problems'])} problems; cases with a problem are in no mean:", file=sys.stderr)
        for problem in results["problems"]:
            print(f"  {problem}", file=sys.stderr)
