"""One process of the data-parallel test: `python -m tests.ddp_worker RANK WORLD RENDEZVOUS OUTPUT`."""

import sys
from pathlib import Path

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nnssl_plugin.networks.pretraining_network import PretrainingNetwork
from nnssl_plugin.objectives.objective import NetworkShape, PretrainingBatch, Views
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.skipped_steps import count_skipped
from tests.batches import NAMES, make_batch
from tests.synthetic import architecture

SIZE = 8


def build() -> PretrainingNetwork:
    torch.manual_seed(0)
    plan = architecture(2, residual=False, stages=3, features=4)
    network = get_network_from_plans(
        plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 4, 2, deep_supervision=False
    )
    shape = NetworkShape(NAMES, (32, 32), (8, 8), (4, 8, 16), 4)
    return PretrainingNetwork(network, {name: cls(cls.Settings(weight=1.0), shape) for name, cls in OBJECTIVES.items()})


def share(batch: PretrainingBatch, rows: slice) -> PretrainingBatch:
    return PretrainingBatch(
        **{
            key: getattr(batch, key)[rows]
            for key in ("data", "denormalized", "denormalized_target", "foreground", "present", "patient")
        },
        cases=batch.cases[rows],
    )


def share_views(name: str, views: Views, rows: slice) -> Views:
    # Contrasts hold all sources first, then all targets.
    halves = OBJECTIVES[name].views_per_patch
    images = torch.cat([half[rows] for half in views.images.chunk(halves)])
    return Views(images, {key: value[rows] for key, value in views.targets.items()})


def gradients(rank: int, world: int) -> dict[str, torch.Tensor]:
    """Gradients of every parameter after one step on this process's share of the same batch and views."""
    module = build()
    batch = make_batch(2, 4, size=SIZE)
    # Two patches of one patient, on different processes: never negatives.
    batch.patient[SIZE - 1] = 0
    # Patches differ in foreground, so a mean over the joined voxels would not be a mean of means.
    batch.foreground[0, :, :20] = False
    # A case that can show no mosaic: the processes have different numbers of them.
    batch.present[0, 1:] = False
    views = {name: o.draw_views(batch, torch.Generator().manual_seed(1)) for name, o in module.objectives.items()}
    rows = slice(rank * SIZE // world, (rank + 1) * SIZE // world)
    step = DistributedDataParallel(module) if world > 1 else module
    total, _ = step(share(batch, rows), {name: share_views(name, view, rows) for name, view in views.items()})
    total.backward()
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


if __name__ == "__main__":
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=Path(sys.argv[3]).as_uri(), rank=rank, world_size=world)
    torch.save(gradients(rank, world), f"{sys.argv[4]}_{world}_{rank}.pt")
    # Three steps, of which each process spoils the one of its rank.
    spoiled = torch.eye(3)[rank]
    skipped = count_skipped([{"skipped": step, "skipped/slem": step} for step in spoiled])
    assert skipped == (world, {"slem": world}), skipped
