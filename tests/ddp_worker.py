"""One process of the data-parallel test: `python -m tests.ddp_worker RANK WORLD RENDEZVOUS OUTPUT`."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nnssl_plugin.data.batch import PretrainingBatch
from nnssl_plugin.objectives.objective import Views
from nnssl_plugin.pretraining.meta_weights import MetaWeights
from nnssl_plugin.pretraining.skipped_steps import count_skipped
from tests.batches import make_batch
from tests.pretraining_networks import stock_network, with_objectives

SIZE = 8


def share(batch: PretrainingBatch, rows: slice) -> PretrainingBatch:
    """These patches of a batch."""
    assert batch.denormalized_target is not None
    assert batch.coordinates is not None
    return replace(
        batch,
        images={name: image[rows] for name, image in batch.images.items()},
        denormalized_target=batch.denormalized_target[rows],
        foreground=batch.foreground[rows],
        present=batch.present[rows],
        patient=batch.patient[rows],
        coordinates=batch.coordinates[rows],
        frame_pair=None if batch.frame_pair is None else batch.frame_pair[rows],
        second=None if batch.second is None else share(batch.second, rows),
        side_data={name: {key: value[rows] for key, value in own.items()} for name, own in batch.side_data.items()},
        cases=batch.cases[rows],
    )


def share_views(views: Views, rows: slice) -> Views:
    """The views of these patches."""
    parts = ({name: values[rows] for name, values in part.items()} for part in vars(views).values())
    return Views(*parts)


def gradients(rank: int, world: int) -> dict[str, torch.Tensor]:
    """Gradients of every parameter after one step on this process's share of the same batch and views."""
    module = with_objectives(stock_network())
    batch = make_batch(2, 4, size=SIZE)
    # Two patches of one patient, on different processes: never negatives.
    batch.patient[SIZE - 1] = 0
    # Patches differ in foreground, so a mean over the joined voxels would not be a mean of means.
    batch.foreground[0, :, :20] = False
    # A case that can show no mosaic: the processes have different numbers of them.
    batch.present[0, 1:] = False
    views = {name: o.draw_views(batch, torch.Generator().manual_seed(1)) for name, o in module.objectives.items()}
    rows = slice(rank * SIZE // world, (rank + 1) * SIZE // world)
    own = share(batch, rows)
    step = DistributedDataParallel(module) if world > 1 else module
    total, _ = step({"plans": own, "patients": own}, {name: share_views(view, rows) for name, view in views.items()})
    total.backward()
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def weight_gradients(rank: int, world: int) -> dict[str, torch.Tensor]:
    """Gradients of the networks that weigh pairs, after one update by this process's share of two batches."""
    names = ("contrastive", "local_contrastive", "simclr", "frame_contrast")
    module = with_objectives(stock_network(), **{name: {"weighting": "meta"} for name in names})
    rows = slice(rank * SIZE // world, (rank + 1) * SIZE // world)
    shares: list[tuple[dict[str, PretrainingBatch], dict[str, Views]]] = []
    for flipped in (False, True):
        batch = make_batch(2, 4, size=SIZE)
        if flipped:
            batch.images = {name: image.flip(2) for name, image in batch.images.items()}
            assert batch.frame_pair is not None
            batch.frame_pair = batch.frame_pair.flip(3)
        views = {name: o.draw_views(batch, torch.Generator().manual_seed(1)) for name, o in module.objectives.items()}
        own = {name: share_views(view, rows) for name, view in views.items()}
        shares.append(({"patients": share(batch, rows)}, own))
    MetaWeights(module, names, 1e-3).update(*shares[0], *shares[1])
    return {name: p.grad for name, p in module.named_parameters() if "weigh." in name and p.grad is not None}


if __name__ == "__main__":
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=Path(sys.argv[3]).as_uri(), rank=rank, world_size=world)
    torch.save(gradients(rank, world), f"{sys.argv[4]}_{world}_{rank}.pt")
    torch.save(weight_gradients(rank, world), f"{sys.argv[4]}_{world}_{rank}_weights.pt")
    # Three steps, of which each process spoils the one of its rank.
    spoiled = torch.eye(3)[rank]
    skipped = count_skipped([{"skipped": step, "skipped/slem": step} for step in spoiled])
    assert skipped == (world, {"slem": world}), skipped
    if world > 1:
        # A process that ends with its threads running is sometimes aborted.
        dist.barrier()
        dist.destroy_process_group()
