import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin demo`."""
    parser.add_argument(
        "-o",
        type=Path,
        default=Path("nnssl_demo"),
        metavar="FOLDER",
        help="folder for everything the demo writes; an interrupted demo continues there (default: ./%(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run what is not done yet, print the table and name the report; 1 if something fails."""
    from nnssl_plugin.demo.demo import run_demo
    from nnssl_plugin.demo.size import DemoSize
    from nnssl_plugin.runs.termination import interrupt_when_terminated

    interrupt_when_terminated()
    return run_demo(args.o.absolute(), DemoSize())
