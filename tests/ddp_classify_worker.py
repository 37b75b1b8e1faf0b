"""One process of the classifier's data-parallel test: `python -m tests.ddp_classify_worker RANK RENDEZVOUS OUTPUT`."""

import sys
from pathlib import Path

import torch
from nnunetv2.run.run_training import get_trainer_from_args
from torch import distributed as dist

from tests.synthetic import NAME


def main(rank: int, meet: Path, output: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meet.as_uri(), rank=rank, world_size=2)
    trainer = get_trainer_from_args(NAME, "2d", 0, "SSLClassifyTrainer", "Tiny", device=torch.device("cpu"))
    trainer.logger.plot_progress_png = lambda folder: None
    trainer.run_training()
    trainer.perform_actual_validation()
    log = {key: trainer.logger.get_value(key, step=None) for key in ("train_losses", "val_losses")}
    weights = list(trainer.network.module.state_dict().values())
    torch.save({"weights": weights, "log": log, "cases": trainer.batch_size}, output / f"outcome{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
