"""A chain of steps in one folder: each is run once, marked as finished, and continued where it was interrupted."""

import json
import shlex
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from time import monotonic
from typing import Any

from nnssl_plugin.demo.side_by_side import run_side_by_side
from nnssl_plugin.files import write_text
from nnssl_plugin.runs.command import Display, run_command
from nnssl_plugin.runs.device import Device
from nnssl_plugin.runs.output import LiveLine, clock, last_lines


@dataclass(frozen=True)
class Step:
    """One step; every path is relative to the folder of the chain.

    Attributes:
        name: of its log and its marker.
        title: for the person who waits.
        action: a command, run in the folder, or a function of the folder.
        recipe: for a function, what its result depends on; a command is its own recipe.
        outputs: what the step makes; removed before it starts afresh.
        resumed: the command that continues an interrupted run once any of `checkpoints` exists.
        checkpoints: files that hold the state of an interrupted run.
        epochs: of a training.
        group: steps of one group follow each other, do not need each other, and run at once.
    """

    name: str
    title: str
    action: tuple[str, ...] | Callable[[Path], None]
    recipe: str = ""
    outputs: tuple[str, ...] = ()
    resumed: tuple[str, ...] = ()
    checkpoints: tuple[str, ...] = ()
    epochs: int | None = None
    group: str = ""

    @property
    def full_recipe(self) -> str:
        """What a finished step must have been made with to count as done."""
        return self.recipe if callable(self.action) else shlex.join(self.action)


class StepError(RuntimeError):
    """A step failed; the message names it and its log, with the log's last lines."""


def log_of(folder: Path, step: Step) -> Path:
    """The log of a step."""
    return folder / "logs" / f"{step.name}.log"


def seconds_of(folder: Path, step: Step) -> float | None:
    """Seconds a finished step took, its last run where it was interrupted before."""
    return _state(folder, step).get("seconds")


def run_steps(
    folder: Path, steps: Sequence[Step], environment: Mapping[str, str], keep_open: Sequence[int] = ()
) -> None:
    """Run the steps that are not done yet.

    A step is done if it ended without error, was made with the same recipe, and no step before it had to run again.

    Args:
        folder: of the chain; exists.
        steps: in order.
        environment: of the commands.
        keep_open: see `run_command`.

    Raises:
        StepError: a step failed; the ones before it stay done.
    """
    for part in ("logs", "steps"):
        (folder / part).mkdir(exist_ok=True)
    started = monotonic()
    anew, number = False, 0
    for _, together in groupby(steps, key=lambda step: step.group or step.name):
        begun: dict[str, tuple[Step, bool]] = {}
        for step in together:
            number += 1
            state = _state(folder, step)
            same = state.get("recipe") == step.full_recipe and not anew
            if same and state.get("finished"):
                print(f"[{number}/{len(steps)}] {step.title}: done before", flush=True)
                continue
            resumes = same and any((folder / checkpoint).is_file() for checkpoint in step.checkpoints)
            print(f"[{number}/{len(steps)}] {step.title}  ({clock(monotonic() - started)} so far)", flush=True)
            if not resumes:
                _remove(folder, (*step.outputs, f"logs/{step.name}.log"))
            _write_state(folder, step, {"recipe": step.full_recipe, "finished": False})
            begun[step.name] = step, resumes

        complete = partial(_complete, folder, begun, environment, keep_open)
        since = monotonic()
        if len(begun) == 1:
            live = LiveLine()
            try:
                complete(next(iter(begun)), live, Device())
            finally:
                live.clear()
        elif begun:
            failures = [failure for failure in run_side_by_side(list(begun), complete).values() if failure]
            if failures:
                raise StepError("\n\n".join(failures))
        if begun:
            print(f"      {clock(monotonic() - since):>5}  done", flush=True)
        # What comes later was made from what is now made again; an interrupted step has nothing after it.
        anew = anew or any(not resumes for _, resumes in begun.values())


def _complete(
    folder: Path,
    begun: Mapping[str, tuple[Step, bool]],
    environment: Mapping[str, str],
    keep_open: Sequence[int],
    name: str,
    live: Display,
    device: Device,
) -> None:
    """Run one of the steps that are begun (name → step, whether it is resumed) and mark it as finished."""
    step, resumes = begun[name]
    since = monotonic()
    failure = _run(folder, step, resumes, environment, live, keep_open, device.cores)
    if failure:
        raise StepError(f"{step.title} failed ({failure}). {last_lines(log_of(folder, step))}")
    _write_state(folder, step, {"recipe": step.full_recipe, "finished": True, "seconds": monotonic() - since})


def _run(
    folder: Path,
    step: Step,
    resumes: bool,
    environment: Mapping[str, str],
    live: Display,
    keep_open: Sequence[int],
    cores: Sequence[int],
) -> str | None:
    """Run the step's action; returns what went wrong."""
    log = log_of(folder, step)
    if callable(step.action):
        try:
            step.action(folder)
        except Exception as error:
            log.write_text(traceback.format_exc(), encoding="utf-8")
            return str(error) or type(error).__name__
        return None
    command = step.resumed if resumes else step.action
    print(f"      $ {shlex.join(command)}", flush=True)
    code = run_command(command, folder, environment, log, live, step.epochs, keep_open, cores)
    return f"exit code {code}" if code else None


def _remove(folder: Path, outputs: Sequence[str]) -> None:
    for output in outputs:
        path = folder / output
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _state(folder: Path, step: Step) -> dict[str, Any]:
    marker = folder / "steps" / f"{step.name}.json"
    return dict(json.loads(marker.read_text(encoding="utf-8"))) if marker.is_file() else {}


def _write_state(folder: Path, step: Step, state: dict[str, Any]) -> None:
    write_text(folder / "steps" / f"{step.name}.json", json.dumps(state, indent=2))
