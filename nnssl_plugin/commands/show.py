import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin show`."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="checkpoint of nnU-Net, nnssl or this plugin, or weights"
    )


def run(args: argparse.Namespace) -> int:
    """Print what the file is made of."""
    from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint
    from nnssl_plugin.checkpoints.description import describe
    from nnssl_plugin.checkpoints.provenance import file_sha256

    lines = describe(read_checkpoint(args.file, mmap=True))
    print("\n".join([str(args.file), f"sha256: {file_sha256(args.file)}", *lines]))
    return 0
