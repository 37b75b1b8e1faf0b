import argparse
import os
from pathlib import Path

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin zeroshot`."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="of a pre-training on reports")
    parser.add_argument("-d", required=True, metavar="DATASET", help="id or name that it was trained on")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="it was trained under")
    parser.add_argument("-c", required=True, metavar="CONFIGURATION")
    parser.add_argument("-i", type=Path, required=True, metavar="FOLDER", help="images, CASE_0000.nii.gz and so on")
    parser.add_argument(
        "--findings",
        type=Path,
        required=True,
        metavar="FILE",
        help="YAML: prompts of each finding, positive and negative",
    )
    parser.add_argument("-o", type=Path, required=True, metavar="FILE", help="probabilities, .csv")
    parser.add_argument("-device", default="cuda", choices=("cuda", "cpu", "mps"), help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Score every image by every finding."""
    from nnssl_plugin.zero_shot.findings import read_findings

    findings = read_findings(args.findings)
    if args.o.suffix != ".csv" or args.o.is_dir():
        raise InputError(f"-o {args.o}: a file that ends in .csv is expected")
    if not os.access(args.o.resolve().parent, os.W_OK):
        raise InputError(f"-o {args.o}: nothing can be written to {args.o.resolve().parent}")
    from nnssl_plugin.evaluation.predictions import Predictions, write_predictions
    from nnssl_plugin.export.target_network import find_target_network
    from nnssl_plugin.nnunet.raw_cases import preprocessed_cases
    from nnssl_plugin.nnunet.torch_device import torch_device
    from nnssl_plugin.zero_shot.image_report_model import load_image_report_model
    from nnssl_plugin.zero_shot.zero_shot import ZeroShot

    target = find_target_network(args.d, args.p, args.c)
    model = load_image_report_model(args.checkpoint, target, torch_device(args.device))
    zero_shot = ZeroShot(model, findings)
    predictions = Predictions({finding.name: ("0", "1") for finding in findings}, {})
    for case in preprocessed_cases(args.i, target.plans, args.c, target.dataset_json, "Scoring"):
        predictions.probabilities[case.name] = zero_shot.probabilities(model.image(case.image))
    write_predictions(predictions, args.o)
    print(
        f"{len(predictions.probabilities)} cases: {args.o}\nnext: nnssl_plugin evaluate classes {args.o} -g TABLE -o RESULT.json"
    )
    return 0
