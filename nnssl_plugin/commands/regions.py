import argparse
import os
from pathlib import Path

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin regions`."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="of a pre-training with regions")
    parser.add_argument("-d", required=True, metavar="DATASET", help="id or name that it was trained on")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="it was trained under")
    parser.add_argument("-c", required=True, metavar="CONFIGURATION")
    parser.add_argument(
        "-i", type=Path, required=True, metavar="CASE", help="FOLDER/CASE, whose images are CASE_0000.nii.gz and so on"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="text, UTF-8; default: reportsTr/CASE.txt next to the folder, where convert reports puts it",
    )
    parser.add_argument("-o", type=Path, required=True, metavar="FOLDER", help="new folder for maps and regions.html")
    parser.add_argument("-device", default="cuda", choices=("cuda", "cpu", "mps"), help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Explain one case."""
    if args.o.exists() and not args.o.is_dir():
        raise InputError(f"-o {args.o}: a folder is expected, this is a file")
    if args.o.is_dir() and any(args.o.iterdir()):
        raise InputError(
            f"-o {args.o}: the folder is not empty, and its maps could not be told from new ones; name another"
        )
    parent = next(path for path in (args.o.resolve(), *args.o.resolve().parents) if path.exists())
    if not os.access(parent, os.W_OK):
        raise InputError(f"-o {args.o}: nothing can be written to {parent}")
    from nnssl_plugin.export.target_network import find_target_network
    from nnssl_plugin.nnunet.raw_cases import preprocessed_cases
    from nnssl_plugin.nnunet.torch_device import torch_device
    from nnssl_plugin.regions.explain_case import explain_modalities, explain_report
    from nnssl_plugin.text.report_file import REPLACEMENT, read_report
    from nnssl_plugin.zero_shot.image_report_model import load_image_report_model

    target = find_target_network(args.d, args.p, args.c)
    model = load_image_report_model(args.checkpoint, target, torch_device(args.device))
    folder, name = args.i.parent, args.i.name.removesuffix(f"_0000{target.dataset_json['file_ending']}")
    report, notes = "", []
    if model.heads.text is None:
        if args.report is not None:
            raise InputError("--report: this checkpoint compares modalities (against=modality) and reads no report")
    else:
        file = args.report or folder.parent / "reportsTr" / f"{name}.txt"
        if args.report is None and not file.is_file():
            raise InputError(f"case {name} has no report: there is no {file}; name one with --report FILE")
        report = read_report(file)
        if lost := report.count(REPLACEMENT):
            notes.append(f"The report holds {lost} U+FFFD, where a character was lost.")
        if model.heads.text.is_cut(report):
            notes.append(
                f"The report is longer than {model.heads.text.context} tokens: what is beyond them was cut behind a sentence."
            )
    (case,) = preprocessed_cases(folder, target.plans, args.c, target.dataset_json, "Preprocessing", name)
    if model.heads.text is None:
        page = explain_modalities(model, case, args.o)
    else:
        page = explain_report(model, case, report, notes, args.o)
    for note in notes:
        print(f"WARNING: {note}")
    print(page)
    return 0
