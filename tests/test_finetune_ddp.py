"""What fine-tuning does of its own beside nnU-Net's step, in two processes."""

from pathlib import Path

import numpy as np
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from torch import distributed as dist
from torch import multiprocessing
from torch.nn.parallel import DistributedDataParallel

from nnssl_plugin.finetuning.background_plateau import predicted_foreground
from nnssl_plugin.finetuning.optimizers import adamw_by_part
from nnssl_plugin.finetuning.parameter_groups import parts_of
from tests.synthetic import architecture


def process(rank: int, folder: Path) -> None:
    """Two steps on data of its own, the optimiser made before the network is wrapped, as nnU-Net has it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=(folder / "meet").as_uri(), rank=rank, world_size=2)
    torch.manual_seed(rank)
    plan = architecture(2, residual=False)
    bare = get_network_from_plans(
        plan["network_class_name"], plan["arch_kwargs"], plan["_kw_requires_import"], 4, 2, deep_supervision=True
    )
    optimizer = adamw_by_part(bare, 0.01)
    network = DistributedDataParallel(bare)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))
    assert sum(map(len, parts_of(network).values())) == len(list(network.parameters()))
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        sum(output.square().mean() for output in network(torch.randn(2, 4, 32, 32))).backward()
        optimizer.step()
    # One process sees no foreground at all.
    counts = {"tp_hard": np.array([3 * rank]), "fp_hard": np.array([0]), "fn_hard": np.array([3 * rank])}
    share = predicted_foreground([counts], is_ddp=True)
    torch.save({"weights": bare.state_dict(), "share": share}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_train_alike(tmp_path: Path) -> None:
    multiprocessing.spawn(process, (tmp_path,), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    assert first["share"] == second["share"] == 0.5
    torch.testing.assert_close(first["weights"], second["weights"], rtol=0, atol=0)
