import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""


def run(args: argparse.Namespace) -> int:
    """Print the folder and nothing else, for use in a shell's `$(…)`."""
    from nnssl_plugin.nnunet.trainers_folder import trainers_folder

    print(trainers_folder())
    return 0
