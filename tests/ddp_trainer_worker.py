"""One process of the trainer's data-parallel test: `python -m tests.ddp_trainer_worker RANK WORLD RENDEZVOUS OUTPUT`.

Every process has results of its own (`nnUNet_results`), so that what it writes can be seen.
"""

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from nnunetv2.run.run_training import get_trainer_from_args
from torch import Tensor
from torch import distributed as dist

from nnssl_plugin.objectives.objective import Views
from nnssl_plugin.pretraining.epoch import epoch_means
from tests.synthetic import NAME

CPU = torch.device("cpu")
STOPPED_IN = 2


def make_trainer() -> Any:
    return get_trainer_from_args(NAME, "3d_fullres", 0, "SSLPretrainTrainer", "Tiny", device=CPU)


def gradients(trainer: Any, loaded: Mapping[str, Any], views: Mapping[str, Views]) -> dict[str, Any]:
    """Loss and gradients of one step on these patches and views; no weight changes."""
    step = trainer.step
    step.module.train()
    total, _ = step.module(step.batches(loaded), views)
    total.backward()
    return {
        "loss": float(total),
        "gradients": {name: p.grad.clone() for name, p in step.network.named_parameters() if p.grad is not None},
    }


def one_step() -> dict[str, Any]:
    """A step of this process's share, and what one process needs to do the same with all of it."""
    trainer = make_trainer()
    trainer.initialize()
    torch.manual_seed(dist.get_rank())
    trainer.step.generator.manual_seed(dist.get_rank())
    loaded = next(trainer.make_loader(augment=True))
    views = trainer.step.draw_views(trainer.step.batches(loaded))
    weights = {name: value.clone() for name, value in trainer.step.network.state_dict().items()}
    outcome = {"loaded": loaded, "views": views, "weights": weights, **gradients(trainer, loaded, views)}
    with torch.no_grad():
        steps = [trainer.step.measure(loaded) for _ in range(2)]
    if dist.get_rank() == 1:
        steps[0]["loss"] = steps[0]["loss"] + torch.nan
    return {**outcome, "steps": steps, "means": epoch_means(steps)}


def joined_step(shares: list[dict[str, Any]]) -> dict[str, Any]:
    """The same step by one process that has the patches and views of all."""
    trainer = make_trainer()
    trainer.initialize()
    trainer.step.network.load_state_dict(shares[0]["weights"])
    loaded = {
        key: torch.cat([share["loaded"][key] for share in shares]) if isinstance(value, Tensor) else value
        for key, value in shares[0]["loaded"].items()
    }
    views = {
        name: Views(
            *(
                {key: torch.cat([vars(share["views"][name])[part][key] for share in shares]) for key in values}
                for part, values in vars(view).items()
            )
        )
        for name, view in shares[0]["views"].items()
    }
    return gradients(trainer, loaded, views)


def spoil_first_step(trainer: Any) -> None:
    """NaN in one objective's loss of this process, in the first step only."""
    head = trainer.step.network.objectives["slem"]

    def spoil(module: Any, _: Any, result: Any) -> None:
        handle.remove()
        # The gradient of this loss is finite all the same.
        result.loss = result.loss + torch.nan

    handle = head.register_forward_hook(spoil)


def interrupted_run(rank: int) -> dict[str, Any]:
    """A run whose first step is spoiled in process 1, and that is stopped in epoch 2."""
    trainer = make_trainer()
    trainer.initialize()
    if rank == 1:
        spoil_first_step(trainer)
    train_step, drawn, weights = trainer.train_step, [], []

    def step(batch: dict[str, Any]) -> dict[str, Tensor]:
        if trainer.current_epoch == STOPPED_IN:
            raise KeyboardInterrupt
        drawn.append({key: value.tolist() for key, value in batch.items() if key.endswith("/patient")})
        values: dict[str, Tensor] = train_step(batch)
        weights.append(torch.cat([p.detach().flatten().clone() for p in trainer.step.network.parameters()]))
        return values

    trainer.train_step = step
    start = torch.cat([p.detach().flatten().clone() for p in trainer.step.network.parameters()])
    with suppress(KeyboardInterrupt):
        trainer.run_training()
    log = trainer.logger.local_logger.my_fantastic_logging
    return {
        "start": start,
        "drawn": drawn,
        "weights": weights,
        "log": {key: value for key, value in log.items() if "timestamp" not in key},
        "scale": trainer.step.scaler.get_scale(),
    }


def resumed_run(latest: str) -> dict[str, Any]:
    """The rest of that run, and its validation."""
    trainer = make_trainer()
    trainer.load_checkpoint(latest)
    began = trainer.current_epoch
    trainer.run_training()
    trainer.perform_actual_validation()
    return {
        "began": began,
        "ended": trainer.current_epoch,
        "losses": trainer.logger.local_logger.my_fantastic_logging["train_losses"],
        "weights": dict(trainer.step.network.state_dict()),
        "device": str(trainer.device),
    }


if __name__ == "__main__":
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    output = Path(sys.argv[4])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=Path(sys.argv[3]).as_uri(), rank=rank, world_size=world)
    outcome: dict[str, Any] = {"one": one_step(), "run": interrupted_run(rank)}
    dist.barrier()
    written = output / "results0" / NAME / "SSLPretrainTrainer__Tiny__3d_fullres" / "fold_0" / "checkpoint_latest.pth"
    outcome["resumed"] = resumed_run(str(written))
    shares: list[Any] = [None] * world
    dist.all_gather_object(shares, {key: outcome["one"].pop(key) for key in ("loaded", "views", "weights")})
    dist.destroy_process_group()
    outcome["one"]["weights"] = shares[rank]["weights"]
    if rank == 0:
        outcome["joined"] = joined_step(shares)
    torch.save(outcome, output / f"outcome{rank}.pt")
