import argparse
import os
from pathlib import Path

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """As nnUNetv2_predict has them."""
    parser.add_argument(
        "-d", required=True, metavar="DATASET", help="id or name of the data set that the classifier was trained on"
    )
    parser.add_argument(
        "-i", type=Path, required=True, metavar="FOLDER", help="folder of images, CASE_0000.nii.gz and so on"
    )
    parser.add_argument(
        "-o",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV file for the predictions; a JSON file of the same name is also written",
    )
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS")
    parser.add_argument("-c", required=True, metavar="CONFIGURATION")
    parser.add_argument(
        "-f",
        nargs="+",
        default=["0", "1", "2", "3", "4"],
        metavar="FOLD",
        help="folds to average over (default: %(default)s)",
    )
    parser.add_argument("-tr", default="SSLClassifyTrainer", metavar="TRAINER", help="default: %(default)s")
    parser.add_argument("-device", default="cuda", choices=("cuda", "cpu", "mps"), help="default: %(default)s")
    parser.add_argument(
        "--maps",
        type=Path,
        metavar="FOLDER",
        help="also write attention and Grad-CAM maps as NIfTI, and a page",
    )


def run(args: argparse.Namespace) -> int:
    """Predict and write."""
    from nnssl_plugin.nnunet.environment import dataset_name, folder_of

    if args.o.suffix != ".csv" or args.o.is_dir():
        raise InputError(f"-o {args.o}: a file that ends in .csv is expected")
    _check_writable("-o", args.o, args.o.resolve().parent)
    if args.maps:
        if args.maps.exists() and not args.maps.is_dir():
            raise InputError(f"--maps {args.maps}: a folder is expected, this is a file")
        _check_writable(
            "--maps", args.maps, next(p for p in (args.maps.resolve(), *args.maps.resolve().parents) if p.exists())
        )
    results = folder_of("nnUNet_results") / dataset_name(args.d)
    folder = results / f"{args.tr}__{args.p}__{args.c}"
    if not folder.is_dir():
        known = sorted(path.name for path in results.glob("*Classify*__*")) if results.is_dir() else []
        raise InputError(f"there is no {folder}; trained classifiers of this data set: {', '.join(known) or 'none'}")
    return _classify(args, folder)


def _check_writable(option: str, path: Path, folder: Path) -> None:
    if not os.access(folder, os.W_OK):
        raise InputError(f"{option} {path}: nothing can be written to {folder}")


def _classify(args: argparse.Namespace, folder: Path) -> int:
    from nnssl_plugin.classification.classify_folder import classify_folder
    from nnssl_plugin.classification.trained_classifier import load_classifier
    from nnssl_plugin.evaluation.predictions import write_predictions, write_predictions_json
    from nnssl_plugin.nnunet.torch_device import torch_device

    device = torch_device(args.device)
    classifier = load_classifier(folder, args.f, device)
    for column, temperature in classifier.temperature.items():
        print(f"{column}: {' '.join(classifier.columns[column])}; temperature {temperature:.2f}")
    if args.maps:
        from nnssl_plugin.classification.saliency_maps import SaliencyMaps
        from nnssl_plugin.report.saliency_page import write_saliency_page

        maps = SaliencyMaps(classifier, args.maps, device)
        predictions = classify_folder(classifier, args.i, device, maps.add)
        print(write_saliency_page(args.maps, predictions, maps.pictures))
    else:
        predictions = classify_folder(classifier, args.i, device)
    write_predictions(predictions, args.o)
    write_predictions_json(predictions, args.o.with_suffix(".json"))
    print(f"{len(predictions.probabilities)} cases: {args.o}")
    return 0
