import sys
from pathlib import Path
from time import monotonic

import torch

from nnssl_plugin.demo.chain import demo_environment, demo_steps
from nnssl_plugin.demo.layout import COMPARED, REPORT
from nnssl_plugin.demo.report import demo_comparison
from nnssl_plugin.demo.size import DemoSize
from nnssl_plugin.demo.steps import StepError, run_steps
from nnssl_plugin.report.comparison import text_table
from nnssl_plugin.runs.folder import locked_folder
from nnssl_plugin.runs.output import clock


def run_demo(folder: Path, size: DemoSize) -> int:
    """Run what is not done yet in `folder`; prints the comparison and names the report.

    Returns:
        Exit code: 0, 1 if a step failed, 130 if interrupted.

    Raises:
        InputError: the folder cannot be the demo's.
    """
    started = monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with locked_folder(folder, "demo") as lock:
        print(f"The demo leaves everything in {folder}\n")
        again = "Start it again to continue where it stopped: finished steps are kept."
        try:
            run_steps(folder, demo_steps(size, device), demo_environment(folder), keep_open=[lock])
        except StepError as error:
            print(f"\n{error}\n\n{again}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(f"\n\nInterrupted. {again}", file=sys.stderr)
            return 130
    print(f"\n{text_table([run.title for run in COMPARED], demo_comparison(folder))}")
    print(f"\nreport: {folder / REPORT}\n{clock(monotonic() - started)} in all; everything is in {folder}")
    return 0
