import multiprocessing
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nnssl_plugin.runs.termination import interrupt_when_terminated

POOL = """
import multiprocessing, time
from nnssl_plugin.runs.termination import interrupt_when_terminated
interrupt_when_terminated()
for _ in range(40):
    # As nnU-Net lists the images of a data set: leaving the block terminates the workers.
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(abs, range(8))
"""


def test_a_terminated_process_is_interrupted() -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        interrupt_when_terminated()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no process is forked here")
def test_workers_of_a_pool_end_without_a_word() -> None:
    run = subprocess.run(
        [sys.executable, "-c", POOL], capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[1]
    )
    assert (run.returncode, run.stderr) == (0, "")
