import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nnssl_plugin.objectives.registry import OBJECTIVES


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one_with_the_joined_batch(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.ddp_worker",
                str(rank),
                str(world),
                tmp_path / "meet",
                tmp_path / "gradients",
            ],
            cwd=Path(__file__).parents[1],
        )
        for world, rank in ((1, 0), (2, 0), (2, 1))
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    alone, first, second = (torch.load(tmp_path / f"gradients_{name}.pt") for name in ("1_0", "2_0", "2_1"))
    heads = {name.split(".")[1] for name in alone if name.startswith("objectives.")}
    assert heads == set(OBJECTIVES)
    assert any(name.startswith("network.decoder.stages") for name in alone)
    for name, gradient in alone.items():
        torch.testing.assert_close(first[name], second[name], msg=f"{name} differs between processes")
        torch.testing.assert_close(first[name], gradient, rtol=1e-3, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    alone, first, second = (torch.load(tmp_path / f"gradients_{name}_weights.pt") for name in ("1_0", "2_0", "2_1"))
    assert len(alone) == 3 * 5, "weights of two layers, a bias; local contrast weighs the places of two stages"
    for name, gradient in alone.items():
        assert torch.equal(first[name], second[name]), f"{name} differs between processes"
        scale = float(gradient.abs().max())
        assert scale > 0
        torch.testing.assert_close(
            first[name], gradient, rtol=1e-3, atol=1e-3 * scale, msg=lambda m, n=name: f"{n}: {m}"
        )
