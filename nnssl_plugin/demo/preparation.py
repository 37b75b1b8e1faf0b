"""The demo's data: what an nnU-Net user would type before a study, on phantoms."""

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from nnssl_plugin import __version__
from nnssl_plugin.demo.cohort import write_phantoms
from nnssl_plugin.demo.layout import CONFIGURATION, PHANTOMS, PREPARED, PREPROCESSED, RAW, RESULTS, STUDY
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.files import read_json, write_json
from nnssl_plugin.runs.command import run_command
from nnssl_plugin.runs.output import LiveLine, clock, last_lines

COMMANDS = {
    "nnU-Net data sets, the unlabelled cases in one of their own": (
        f"nnssl_plugin convert brats -i {PHANTOMS} -d 501 --unlabelled-id 502 --name Phantom --copy"
    ),
    "planning and preprocessing by nnU-Net": f"nnUNetv2_plan_and_preprocess -d 501 -c {CONFIGURATION} -npfp 1 -np 1",
    "the unlabelled cases, preprocessed by the same plans": (
        f"nnssl_plugin align --pretrain 502 --target 501 -c {CONFIGURATION} -np 1"
    ),
}
LOG = "preparation.log"


class PreparationError(RuntimeError):
    """A command failed; the message holds the end of its log."""


@contextmanager
def demo_environment(folder: Path) -> Iterator[None]:
    """Make nnU-Net's folders the demo's own, whatever the user's variables say, for this process and its commands."""
    before = dict(os.environ)
    os.environ.update({variable: str(folder / variable) for variable in (RAW, PREPROCESSED, RESULTS)})
    # Compiling takes longer than all the steps it would speed up.
    os.environ.update({"nnUNet_compile": "f", "nnUNet_wandb_enabled": "0", "nnUNet_def_n_proc": "2"})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def prepare(folder: Path, size: DemoSize) -> None:
    """Make the data sets, unless that was done before by this version of the plugin and with the same size.

    Data of another version or size are removed first, with what was trained on them.

    Raises:
        PreparationError: a command failed.
    """
    made = f"nnssl_plugin {__version__}, {size}"
    marker = folder / PREPARED
    if marker.is_file() and read_json(marker).get("made") == made:
        print("the demo's data: made before")
        return
    marker.unlink(missing_ok=True)
    for part in (PHANTOMS, RAW, PREPROCESSED, RESULTS, STUDY):
        shutil.rmtree(folder / part, ignore_errors=True)
    for variable in (RAW, PREPROCESSED, RESULTS):
        (folder / variable).mkdir()
    log = folder / LOG
    log.unlink(missing_ok=True)
    print(f"{size.training + size.test} labelled and {size.unlabelled} unlabelled phantom brains", flush=True)
    started = monotonic()
    write_phantoms(folder, size)
    for title, command in COMMANDS.items():
        print(f"{title}\n      $ {command}", flush=True)
        _run(shlex.split(command), folder, log)
    write_json({"made": made, "seconds": monotonic() - started}, marker)
    print(f"      {clock(monotonic() - started)}  the data are made", flush=True)


def _run(command: list[str], folder: Path, log: Path) -> None:
    live = LiveLine()
    try:
        code = run_command(command, folder, os.environ, log, live)
    finally:
        live.clear()
    if code:
        raise PreparationError(f"{shlex.join(command)} failed (exit code {code}). {last_lines(log)}")
