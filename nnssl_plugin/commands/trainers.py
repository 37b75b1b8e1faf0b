import argparse
from importlib.util import find_spec
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""


def trainers_folder() -> Path:
    """The folder with the trainers, in a wheel and in an editable install; nothing in it is imported."""
    spec = find_spec("nnssl_plugin.trainers")
    if spec is None or spec.origin is None:
        raise RuntimeError("nnssl_plugin is installed without its trainers: install it again with pip")
    return Path(spec.origin).parent


def run(args: argparse.Namespace) -> int:
    """Print the folder and nothing else, for use in a shell's `$(…)`."""
    print(trainers_folder())
    return 0
