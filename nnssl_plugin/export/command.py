"""What `nnssl_plugin export` and `nnssl_plugin import-nnssl` have in common."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from nnssl_plugin.errors import InputError

if TYPE_CHECKING:
    from nnssl_plugin.export.source import Source
    from nnssl_plugin.export.target_network import TargetNetwork
    from nnssl_plugin.export.topology import Layer


def add_target_arguments(parser: argparse.ArgumentParser) -> None:
    """The checkpoint, the target, and how to go from one to the other."""
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a checkpoint file, or the folder or hf:ORGANISATION/NAME of a shared model",
    )
    parser.add_argument("--to-dataset", required=True, metavar="DATASET", help="id or name of the target data set")
    parser.add_argument("-p", default="nnUNetPlans", metavar="PLANS", help="plans of the target (default: %(default)s)")
    parser.add_argument(
        "-c", required=True, metavar="CONFIGURATION", help="configuration of these plans, for example 3d_fullres"
    )
    parser.add_argument("-o", type=Path, metavar="FILE", help="weights file to write, for -pretrained_weights")
    parser.add_argument(
        "--map",
        action="extend",
        nargs="+",
        default=[],
        metavar="TARGET=SOURCE",
        help="which channel of the checkpoint goes to which channel of the target, where their names differ",
    )
    parser.add_argument(
        "--allow-partial", action="store_true", help="write the weights even if less than half of the encoder fits"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing: load the result through nnU-Net's own function and run a patch through the network",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing FILE")


def run_export(args: argparse.Namespace, nnssl: bool) -> int:
    """Adapt the checkpoint to the target, say what was transferred, check or write."""
    overrides = _overrides(args.map)
    args.checkpoint = _checkpoint_file(args.checkpoint)
    _check_output(args)
    from nnssl_plugin.export.source import UNNAMED, read_nnssl_source, read_source
    from nnssl_plugin.export.target_network import find_target_network
    from nnssl_plugin.export.weights_file import adapted_weights, check_weights, refuse_small_share, write_weights

    source = (read_nnssl_source if nnssl else read_source)(args.checkpoint)
    target = find_target_network(args.to_dataset, args.p, args.c)
    if source.channels == [UNNAMED]:
        overrides = dict.fromkeys(target.channels, UNNAMED)
    content, channels, layers = adapted_weights(source, target, overrides)
    _print_channels(source, target, channels)
    _print_layers(layers)
    if not args.allow_partial:
        refuse_small_share(layers)
    if args.check:
        shape = "x".join(map(str, check_weights(content, target)))
        print(f"\nnnU-Net loads the weights; one forward pass gives {shape}. Nothing was written (--check)")
        return 0
    write_weights(content, target, args.o)
    number = target.dataset[7:10]
    print(f"\n{args.o}: checked by loading it through nnU-Net's own function")
    print(f"next: nnUNetv2_train {number} {args.c} FOLD -p {args.p} -pretrained_weights {args.o}")
    return 0


def _checkpoint_file(given: str) -> Path:
    if not given.startswith("hf:") and not Path(given).is_dir():
        return Path(given)
    from nnssl_plugin.sharing.card_folder import weights_of_card
    from nnssl_plugin.sharing.hub import PREFIX, download

    return weights_of_card(download(given.removeprefix(PREFIX)) if given.startswith(PREFIX) else Path(given))


def _overrides(entries: list[str]) -> dict[str, str]:
    pairs = [entry.partition("=") for entry in entries]
    for entry, (wanted, _, given) in zip(entries, pairs, strict=True):
        if not wanted or not given:
            raise InputError(f"--map wants TARGET=SOURCE, like T1n=T1, not {entry!r}")
    return {wanted: given for wanted, _, given in pairs}


def _check_output(args: argparse.Namespace) -> None:
    if args.check:
        return
    if args.o is None:
        raise InputError("-o FILE is needed (or --check, to write nothing)")
    if not args.o.absolute().parent.is_dir() or args.o.is_dir():
        raise InputError(f"-o {args.o}: the name of a file in an existing folder is needed")
    if args.o.exists() and (not args.overwrite or args.o.samefile(args.checkpoint)):
        raise InputError(f"{args.o} exists; name another file with -o, or replace it with --overwrite")


def _print_channels(source: "Source", target: "TargetNetwork", channels: list[int | None]) -> None:
    print("input channels of the target ← of the checkpoint")
    for name, index in zip(target.channels, channels, strict=True):
        origin = f"mean of all ({', '.join(source.channels)})" if index is None else source.channels[index]
        print(f"  {name} ← {origin}")


def _print_layers(layers: "list[Layer]") -> None:
    from nnssl_plugin.export.topology import share, table

    rows = table(layers)
    width = max(len(name) for name, *_ in rows)
    print(f"\n{'part':{width}} {'parameters':>12} {'transferred':>12}")
    for name, parameters, transferred, note in rows:
        print(f"{name:{width}} {parameters:>12,} {transferred:>12.1%}  {note}".rstrip())
    for part in ("encoder", "decoder"):
        total = sum(layer.parameters for layer in layers if layer.name.startswith(f"{part}."))
        print(f"{part:{width}} {total:>12,} {share(layers, part):>12.1%}")
    print("segmentation layers are new, as always with -pretrained_weights")
