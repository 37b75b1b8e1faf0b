import argparse
from pathlib import Path

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin probe`."""
    parser.add_argument(
        "checkpoints",
        nargs="+",
        type=Path,
        metavar="CHECKPOINT",
        help="checkpoints of this plugin or nnU-Net, or files that export wrote",
    )
    parser.add_argument("-d", required=True, metavar="DATASET", help="id or name of a preprocessed data set")
    parser.add_argument("-p", required=True, metavar="PLANS", help="plans that describe the network")
    parser.add_argument(
        "-c", required=True, metavar="CONFIGURATION", help="configuration of these plans, for example 2d"
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="COLUMN",
        help="columns of the data set's table with classes to probe",
    )
    parser.add_argument("--segmentation", action="store_true", help="probe the segmentation labels, voxel by voxel")
    parser.add_argument(
        "--patients",
        type=int,
        default=3,
        metavar="N",
        help="number of patients whose labels the probe is trained on (default: %(default)s)",
    )
    parser.add_argument(
        "-o", type=Path, default=Path("probe"), metavar="FOLDER", help="folder for probe.json and probe.html"
    )


def run(args: argparse.Namespace) -> int:
    """Judge, print and save."""
    import torch

    from nnssl_plugin.export.target_network import find_target_network
    from nnssl_plugin.files import write_json, write_text
    from nnssl_plugin.probing.checkpoint_network import titles
    from nnssl_plugin.probing.compare_networks import compare_networks
    from nnssl_plugin.probing.probe import make_probe
    from nnssl_plugin.report.probe_page import CAUTION, probe_page
    from nnssl_plugin.report.probe_table import probe_tables

    if args.o.exists() and not args.o.is_dir():
        raise InputError(f"-o {args.o}: a folder is needed")
    target = find_target_network(args.d, args.p, args.c)
    files = titles(args.checkpoints)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    result = compare_networks(
        files, target, lambda: make_probe(target, args.columns, args.segmentation, args.patients, device)
    )
    args.o.mkdir(parents=True, exist_ok=True)
    write_json(result, args.o / "probe.json")
    write_text(args.o / "probe.html", probe_page(result))
    for task, table in probe_tables(result).items():
        print(f"\n{task}: {result['about'][task]}\n{table.text()}")
    print()
    for name, text in result["seen"].items():
        print(f"{name}: {text}")
    print(f"\n{CAUTION}\nwritten: {args.o / 'probe.json'} and probe.html; {result['seconds']:.0f} s")
    return 0
