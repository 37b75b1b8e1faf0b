import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nnssl_plugin.errors import InputError

# Slurm's own queue decides how many run at once.
SLURM_JOBS = 64


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
        "--gpus",
        nargs="+",
        metavar="GPU",
        help="GPUs to use, as torch numbers them, one run at a time on each (default: 0, if there is one)",
    )
    devices.add_argument(
        "--parallel",
        type=int,
        metavar="N",
        help=f"number of runs at a time on the CPU, which share its cores; with --executor slurm, number of jobs at a time (default: {SLURM_JOBS})",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--executor",
        choices=("local", "slurm"),
        help="submit each run as a job through submitit (default: this process does the runs)",
    )
    how.add_argument(
        "--print-commands",
        action="store_true",
        help="prepare the study and print the command of each run, for any scheduler",
    )
    how.add_argument(
        "--run", metavar="NAME", help="do one run of a prepared study on the GPU or the cores that this process has"
    )
    parser.add_argument(
        "--job",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="parameters of a job by submitit's names: timeout_min=1440 gpus_per_node=1 cpus_per_task=12 mem_gb=64 slurm_partition=NAME",
    )


def run(args: argparse.Namespace) -> int:
    """Run, continue or render a study; 1 if a run failed."""
    import torch

    from nnssl_plugin.runs.device import devices
    from nnssl_plugin.runs.termination import interrupt_when_terminated
    from nnssl_plugin.study.choice import choose
    from nnssl_plugin.study.one_run import do_one_run
    from nnssl_plugin.study.print_commands import print_commands
    from nnssl_plugin.study.render import render
    from nnssl_plugin.study.study import run_study

    if args.study.is_dir():
        print((choose if args.choose else render)(args.study.absolute()))
        return 0
    if args.choose:
        raise InputError(f"--choose wants the folder of a study that has run, not {args.study}")
    if args.parallel is not None and args.parallel < 1:
        raise InputError(f"--parallel {args.parallel}: at least one run at a time is needed")
    if args.executor == "slurm" and args.gpus:
        raise InputError("--gpus: of Slurm a job asks for GPUs by --job gpus_per_node=1")
    if args.job and not args.executor:
        raise InputError("--job belongs to --executor")
    unknown = [gpu for gpu in args.gpus or [] if not gpu.isdigit() or int(gpu) >= torch.cuda.device_count()]
    if unknown:
        raise InputError(f"--gpus {' '.join(unknown)}: torch finds {torch.cuda.device_count()} GPUs, numbered from 0")
    if args.gpus is None and args.parallel is None and torch.cuda.is_available():
        args.gpus = ["0"]
    folder = args.o or args.study.with_suffix("")
    if folder == args.study:
        raise InputError(f"{args.study} has no ending to leave out; name the study's folder with -o")
    interrupt_when_terminated()
    file, folder = args.study.absolute(), folder.absolute()
    if args.run:
        return do_one_run(file, folder, args.run)
    slots = [None] * (args.parallel or SLURM_JOBS) if args.executor == "slurm" else devices(args.gpus, args.parallel)
    if args.print_commands:
        return print_commands(file, folder, slots)
    jobs = _jobs(args.executor, args.job) if args.executor else None
    return run_study(file, folder, slots, args.dry_run, jobs)


def _jobs(executor: str, parameters: list[str]) -> Any:
    if find_spec("submitit") is None:
        raise InputError("--executor needs the library submitit: pip install 'nnssl_plugin[cluster]'")
    from nnssl_plugin.study.jobs import Jobs

    return Jobs(executor, dict(map(_parameter, parameters)))


def _parameter(text: str) -> tuple[str, int | str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InputError(f"--job {text}: KEY=VALUE is needed, as in timeout_min=1440")
    return key, int(value) if value.isdigit() else value
