"""The options of `nnssl_plugin plan` that say how a copy differs from its source; a study's `plan_options` are the same."""

import argparse
import json
from collections.abc import Sequence
from typing import Any, NoReturn

from nnssl_plugin.errors import InputError
from nnssl_plugin.planning.plans_copy import copy_plans
from nnssl_plugin.settings.presets import PRESETS, preset_assignments


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add these options to a command's."""
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="objectives to pre-train with; --set overrides it. Default: those of the copied plans, or restoration",
    )
    parser.add_argument(
        "--cfb", action="store_true", help="put the contextual fusion block at the bottleneck of the copy's network"
    )
    parser.add_argument(
        "--classify",
        nargs="+",
        metavar="COLUMN",
        help="columns of the data set's table with the classes that SSLClassifyTrainer learns",
    )
    sizes = parser.add_argument_group("size of the copy's network (the preprocessed data stay as they are)")
    sizes.add_argument(
        "-c", nargs="+", metavar="CONFIGURATION", help="configurations to resize (default: all that match)"
    )
    sizes.add_argument("--batch-size", type=int, metavar="N")
    sizes.add_argument(
        "--patch-size", type=int, nargs="+", metavar="N", help="patch size in voxels, axes in the order of the plans"
    )
    sizes.add_argument(
        "--features", type=int, nargs=2, metavar=("BASE", "MAX"), help="features of stage i: min(MAX, BASE * 2^i)"
    )


def read_plan_options(words: Sequence[str]) -> argparse.Namespace:
    """Options as they are typed, without the command.

    Raises:
        InputError: one of them is unknown or has no such value.
    """
    parser = _Parser(add_help=False)
    add_plan_options(parser)
    return parser.parse_args(words)


def copy_with_options(
    plans: dict[str, Any], name: str, options: argparse.Namespace, assignments: Sequence[str]
) -> dict[str, Any]:
    """`plans` under another name, changed by the options and, over them, by assignments like `pretraining.epochs=20`.

    Raises:
        InputError: see `copy_plans`.
    """
    return copy_plans(
        plans,
        name,
        [
            *(preset_assignments(options.preset) if options.preset else []),
            *([f"classification.columns={json.dumps(options.classify)}"] if options.classify else []),
            *assignments,
        ],
        configurations=options.c,
        batch_size=options.batch_size,
        patch_size=options.patch_size,
        features=tuple(options.features) if options.features else None,
        contextual_fusion=options.cfb,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)
