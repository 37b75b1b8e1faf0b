import argparse
import os
from pathlib import Path

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin card`."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        metavar="CHECKPOINT",
        help="checkpoint of SSLPretrainTrainer or nnU-Net, or a file that export wrote",
    )
    parser.add_argument("-o", type=Path, required=True, metavar="FOLDER", help="folder to write; it must not exist yet")
    parser.add_argument(
        "--license",
        metavar="ID",
        help="licence of the weights, as Hugging Face names licences: cc-by-4.0, cc-by-nc-sa-4.0 …",
    )
    parser.add_argument("--name", metavar="NAME", help="name of the model (default: the folder's name)")
    parser.add_argument(
        "--scores",
        type=Path,
        metavar="FILE",
        help="result file of nnssl_plugin evaluate for a network that was trained from these weights",
    )
    parser.add_argument("--push", metavar="ORG/NAME", help="also upload the folder to the Hugging Face Hub")


def run(args: argparse.Namespace) -> int:
    """Write the folder, and upload it if asked."""
    if not args.license:
        raise InputError(
            "--license is needed: the owners of the data decide who may use the weights, and how; for example --license cc-by-4.0"
        )
    if args.o.exists():
        raise InputError(f"-o {args.o} exists; name another folder, or remove it")
    parent = next(path for path in args.o.resolve().parents if path.exists())
    if not os.access(parent, os.W_OK):
        raise InputError(f"-o {args.o}: nothing can be written to {parent}")
    from nnssl_plugin.sharing.card_folder import write_card_folder

    write_card_folder(args.checkpoint, args.o, args.name or args.o.name, args.license, args.scores)
    print(f"{args.o}: {', '.join(sorted(path.name for path in args.o.iterdir()))}; read README.md before you share it")
    if args.push:
        from nnssl_plugin.sharing.hub import push

        print(push(args.o, args.push))
    return 0
