import re
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.__main__ import arguments, main
from benchmarks.problem import Problem, folders
from benchmarks.recipes import DEFAULT, EVERYTHING, LEFT_OUT, SLEM_CONTRAST, looks_at_no_decoder, recipes
from benchmarks.table import Row, markdown
from benchmarks.timing import in_turns
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.active_objectives import active_objectives
from nnssl_plugin.settings.settings import Settings, settings_with


def test_every_objective_is_measured_by_itself_and_together() -> None:
    active = {
        name: set(active_objectives(settings_with(Settings(), said).pretraining)) for name, said in recipes().items()
    }
    measured = set(OBJECTIVES) - set(LEFT_OUT)
    assert active[EVERYTHING] == measured
    assert {name for own in active.values() if len(own) == 1 for name in own} == measured
    # The default is what a user gets who says nothing.
    assert active[DEFAULT] == set(active_objectives(Settings().pretraining))
    assert looks_at_no_decoder(SLEM_CONTRAST)
    assert not looks_at_no_decoder(DEFAULT)


def test_repetitions_take_turns_and_the_first_does_not_count() -> None:
    done: list[str] = []
    times = in_turns({name: lambda name=name: done.append(name) for name in "ab"}, 2, "cpu", "")
    assert done == ["a", "b"] * 3
    assert [len(times[name].wall) for name in "ab"] == [2, 2]


def test_the_table_says_where_it_was_measured() -> None:
    lines = markdown([Row("step", "x", "1 s", 0.5, target="≤ 1.00")], "sizes").splitlines()
    assert re.search(r"sizes\. .*torch \d.*nnU-Net \d", lines[0])
    assert lines[-1] == "| step | x | 1 s | 0.50 |  | ≤ 1.00 |"


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert gpu.main([]) == 1
    assert "no GPU here" in capsys.readouterr().err


@pytest.mark.slow
def test_one_command_one_table(tmp_path: Path) -> None:
    sizes = ["--patch", "16", "16", "16", "--features", "4", "--repetitions", "1", "--networks", "plain"]
    table = main([*sizes, "--cases", "8", "--recipes", DEFAULT, "contrastive", "-o", str(tmp_path / "table.md")])
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == table
    parts = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")}
    kinds = ("step", "checkpoint", "memory of the process", "start to first step", "network", "AdamW")
    assert parts >= {f"{kind}, plain" for kind in kinds} | {"loader", "denormalisation", "cases", "fine-tuning"}


@pytest.mark.slow
def test_what_a_gpu_is_measured_by_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU; what only a GPU has is left out."""
    modes: list[str] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    # The graphs are looked at, and nothing waits for a compiler.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    recipes = [DEFAULT, SLEM_CONTRAST]
    sizes = ["--patch", "16", "16", "16", "--features", "4", "--repetitions", "1", "--networks", "plain"]
    args = arguments().parse_args([*sizes, "--cases", "8", "--parts", "steps", "--recipes", *recipes])
    problem = Problem((16, 16, 16), 2, 4, 4, 6, "cpu", 1, tmp_path)
    with folders(tmp_path, workers=0):
        rows = {(row.part, row.what): row.value for row in gpu.everything(problem, args)}
    assert modes == ["error", "default"] * len(recipes)
    assert [rows["waits for the GPU in a step", recipe] for recipe in recipes] == ["never"] * len(recipes)
    for recipe in recipes:
        assert "times as it is" in rows["step, compiled", recipe]
    assert {what for part, what in rows if part == "workers that keep up"} == {"nnU-Net's", DEFAULT, "full"}
