import argparse
import importlib
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any

from nnssl_plugin import __version__
from nnssl_plugin.errors import InputError

# Each command is a module with `add_arguments(parser)` and `run(args) -> int`. Only the one that is named is imported, so that
# `export nnUNet_extTrainer="$(nnssl_plugin trainers)"` costs nothing in a shell's start-up file.
COMMANDS = {
    "doctor": "check the installation, environment variables and data sets, and say how to fix what is wrong",
    "trainers": "print the folder that nnUNet_extTrainer must name",
    "convert": "turn a folder of scans into an nnU-Net data set",
    "plan": "copy a plans file, with settings embedded and, if asked, a smaller network",
    "align": "give a pre-training data set the plans of its target and preprocess it",
    "export": "adapt a checkpoint to the channels and the network of a target, for -pretrained_weights",
    "import-nnssl": "adapt a checkpoint of MIC-DKFZ's nnssl in the same way",
    "show": "print what is recorded in a checkpoint or weights file",
    "card": "write weights with a model card into a folder to share, or to the Hugging Face Hub",
    "probe": "evaluate frozen features of checkpoints on classes and labels, compared with an untrained network",
    "pseudo-label": "label the cases of a data set with trained models, as a data set of its own, for self-training",
    "classify": "predict classes of a folder of images with networks of SSLClassifyTrainer",
    "zeroshot": "score findings in a folder of images by text prompts, after pre-training on reports",
    "regions": "show which regions of an image a pre-training selects, and which words or modalities attend to them",
    "evaluate": "score predictions by the conventions of a challenge",
    "compare": "compare two or more evaluated runs, paired by case",
    "study": "run a study file: recipes, label amounts, folds and seeds, through the nnU-Net commands",
    "demo": "run the whole chain on a phantom cohort, through the nnU-Net commands",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the `nnssl_plugin` command line and return its exit code (2 for a mistake in what was given)."""
    for stream in (sys.stdout, sys.stderr):
        # Of a file or a pipe the encoding may lack an arrow, or a letter in a file's name.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="nnssl_plugin", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules: dict[str, Any] = {}
    for name, summary in COMMANDS.items():
        command = subparsers.add_parser(name, help=summary, description=summary)
        if name in given[:1]:
            modules[name] = importlib.import_module(f"nnssl_plugin.commands.{name.replace('-', '_')}")
            modules[name].add_arguments(command)
    args = parser.parse_args(given)
    try:
        return int(modules[args.command].run(args))
    except (InputError, OSError) as error:
        _print_error(f"nnssl_plugin {args.command}: error: ", str(error))
        return 2


def _print_error(start: str, message: str) -> None:
    """On standard error, its start in red on a terminal."""
    if not sys.stderr.isatty():
        print(start + message, file=sys.stderr)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text.assemble((start, "bold red"), message), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
