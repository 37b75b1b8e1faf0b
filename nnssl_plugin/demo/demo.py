import sys
from pathlib import Path
from time import monotonic

import torch

from nnssl_plugin.demo.cohort import scored_patients
from nnssl_plugin.demo.layout import REPORT, STUDY
from nnssl_plugin.demo.preparation import PreparationError, demo_environment, prepare
from nnssl_plugin.demo.report import write_demo_report
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.demo.study_file import write_study_file
from nnssl_plugin.runs.device import Device, devices, usable_cores
from nnssl_plugin.runs.folder import locked_folder
from nnssl_plugin.runs.output import clock
from nnssl_plugin.study.study import run_study


def run_demo(folder: Path, size: DemoSize) -> int:
    """Prepare phantoms and run a study of them, as far as that is not done yet; prints its table and names the report.

    Returns:
        Exit code: 0, 1 if something failed, 130 if interrupted.

    Raises:
        InputError: the folder cannot be the demo's.
    """
    started = monotonic()
    again = "Start it again to continue where it stopped: what is finished is kept."
    with locked_folder(folder, "demo"), demo_environment(folder):
        print(f"The demo leaves everything in {folder}\n")
        try:
            prepare(folder, size)
        except PreparationError as error:
            print(f"\n{error}\n\n{again}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"\n\nInterrupted. {again}", file=sys.stderr)
            return 130
        file = write_study_file(folder, size, scored_patients(folder, size))
        print(f"\na study of them: {file}", flush=True)
        code = run_study(file, folder / STUDY, _slots(), dry_run=False)
        if code == 0:
            write_demo_report(folder, size)
            print(
                f"\nreport of the demo: {folder / REPORT}\n{clock(monotonic() - started)} in all; everything is in {folder}"
            )
    return code


def _slots() -> list[Device]:
    """The GPU; or the CPU's cores for two runs at once, since scratch does not wait for the pre-training."""
    if torch.cuda.is_available():
        return devices(["0"], None)
    return devices(None, min(2, len(usable_cores())))
