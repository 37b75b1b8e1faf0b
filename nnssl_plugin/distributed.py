"""Pre-training on many GPUs and nodes: torchrun --nnodes … --nproc_per_node … -m nnssl_plugin.distributed 501 3d_fullres all.

Torch's elastic launcher starts a process for each GPU and ends all when one fails. A process takes the GPU of its local rank,
where nnU-Net's own `-num_gpus` takes that of its global rank and one machine.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record

from nnssl_plugin.errors import InputError
from nnssl_plugin.nnunet.environment import check_nnunet, dataset_name
from nnssl_plugin.nnunet.plans_file import load_plans
from nnssl_plugin.nnunet.trainers_folder import trainers_folder
from nnssl_plugin.runs.device import TRAINERS
from nnssl_plugin.runs.termination import interrupt_when_terminated

# The others wait for the first process while it probes, or writes the pages at the end.
LONGEST_WAIT = timedelta(hours=2)


def arguments() -> argparse.ArgumentParser:
    """Those of `nnUNetv2_train` that pre-training knows."""
    parser = argparse.ArgumentParser(prog="torchrun … -m nnssl_plugin.distributed", description=__doc__)
    parser.add_argument("dataset", help="id or name")
    parser.add_argument("configuration")
    parser.add_argument("fold", help="a number, or all")
    parser.add_argument("-tr", default="SSLPretrainTrainer", help="trainer; default: %(default)s")
    parser.add_argument("-p", default="nnUNetPlans", help="plans; default: %(default)s")
    parser.add_argument("-pretrained_weights", help="to start from")
    parser.add_argument("--c", action="store_true", help="continue from the last checkpoint")
    parser.add_argument("-device", default="cuda", choices=("cuda", "cpu"), help="NCCL or Gloo; default: %(default)s")
    return parser


@record
def main(argv: Sequence[str] | None = None) -> int:
    """Train in this process; returns the exit code."""
    args = arguments().parse_args(argv)
    # Also the workers of its loader end then, which a killed process would leave behind.
    interrupt_when_terminated()
    try:
        _train(args)
    except KeyboardInterrupt:
        print(f"process {os.environ['RANK']} was ended, as torchrun does when another has failed", file=sys.stderr)
        return 130
    except InputError as error:
        if os.environ.get("RANK", "0") == "0":
            print(f"nnssl_plugin.distributed: error: {error}", file=sys.stderr)
        return 2
    return 0


def _train(args: argparse.Namespace) -> None:
    device = _device(args.device)
    check_nnunet()
    fold = args.fold if args.fold == "all" else _number(args.fold)
    dataset = dataset_name(args.dataset)
    load_plans(dataset, args.p)
    own = [os.environ.get(TRAINERS, ""), str(trainers_folder())]
    os.environ[TRAINERS] = os.pathsep.join(dict.fromkeys(filter(None, own)))
    backend, bound = ("nccl", device) if device.type == "cuda" else ("gloo", None)
    dist.init_process_group(backend, timeout=LONGEST_WAIT, device_id=bound)
    _run(args, dataset, fold, device)
    # A process that ends while others still speak to it spoils their end; where one has failed, nobody waits for the others.
    dist.barrier()
    dist.destroy_process_group()


def _run(args: argparse.Namespace, dataset: str, fold: Any, device: torch.device) -> None:
    """As nnU-Net's `run_ddp`, by what it exports."""
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    # What torchrun starts again (`--max-restarts`) goes on.
    goes_on = args.c or int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    trainer = get_trainer_from_args(dataset, args.configuration, fold, args.tr, args.p, goes_on, device)
    if trainer.device != device:
        raise InputError(
            f"-tr {args.tr} takes the GPU of its global rank, as nnU-Net does; train it on one machine, with nnUNetv2_train "
            "-num_gpus. SSLPretrainTrainer and SSLClassifyTrainer run here"
        )
    maybe_load_checkpoint(trainer, goes_on, False, None if goes_on else args.pretrained_weights)
    trainer.run_training()
    trainer.perform_actual_validation()


def _device(kind: str) -> torch.device:
    if "LOCAL_RANK" not in os.environ:
        raise InputError("start it by torchrun: torchrun --nproc_per_node 2 -m nnssl_plugin.distributed …")
    local, here = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if kind == "cpu":
        return torch.device("cpu")
    if local >= here:
        raise InputError(
            f"--nproc_per_node {os.environ['LOCAL_WORLD_SIZE']} on a machine where torch finds {here} GPUs: ask for as many "
            "processes, or give -device cpu"
        )
    device = torch.device("cuda", local)
    torch.cuda.set_device(device)
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = True
    return device


def _number(fold: str) -> int:
    if not fold.isdigit():
        raise InputError(f"fold {fold!r}: a number or all is needed")
    return int(fold)


if __name__ == "__main__":
    sys.exit(main())
