import argparse
from pathlib import Path

from nnssl_plugin.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `nnssl_plugin study`."""
    parser.add_argument(
        "study", type=Path, metavar="STUDY", help="study file (YAML), or a study's folder to render again"
    )
    parser.add_argument(
        "-o", type=Path, metavar="FOLDER", help="folder of the study (default: STUDY without its ending)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the runs and what they cost, and do nothing")
    parser.add_argument(
        "--choose",
        action="store_true",
        help="of a study's folder that scored development patients: the best numbers of steps of every recipe",
    )
    devices = parser.add_mutually_exclusive_group()
    devices.add_argument(
        "--gpus", nargs="+", metavar="GPU", help="GPUs to use, one run at a time on each (default: 0, if there is one)"
    )
    devices.add_argument(
        "--parallel", type=int, metavar="N", help="number of runs at a time on the CPU, which share its cores"
    )


def run(args: argparse.Namespace) -> int:
    """Run, continue or render a study; 1 if a run failed."""
    import torch

    from nnssl_plugin.runs.device import devices
    from nnssl_plugin.runs.termination import interrupt_when_terminated
    from nnssl_plugin.study.choice import choose
    from nnssl_plugin.study.render import render
    from nnssl_plugin.study.study import run_study

    if args.study.is_dir():
        print((choose if args.choose else render)(args.study.absolute()))
        return 0
    if args.choose:
        raise InputError(f"--choose wants the folder of a study that has run, not {args.study}")
    if args.parallel is not None and args.parallel < 1:
        raise InputError(f"--parallel {args.parallel}: at least one run at a time is needed")
    unknown = [gpu for gpu in args.gpus or [] if not gpu.isdigit() or int(gpu) >= torch.cuda.device_count()]
    if unknown:
        raise InputError(f"--gpus {' '.join(unknown)}: torch finds {torch.cuda.device_count()} GPUs, numbered from 0")
    if args.gpus is None and args.parallel is None and torch.cuda.is_available():
        args.gpus = ["0"]
    folder = args.o or args.study.with_suffix("")
    if folder == args.study:
        raise InputError(f"{args.study} has no ending to leave out; name the study's folder with -o")
    interrupt_when_terminated()
    return run_study(args.study.absolute(), folder.absolute(), devices(args.gpus, args.parallel), args.dry_run)
