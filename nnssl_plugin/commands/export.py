import argparse

from nnssl_plugin.export.command import add_target_arguments, run_export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin export`."""
    add_target_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Adapt a checkpoint of nnU-Net or of this plugin to a target."""
    return run_export(args, nnssl=False)
