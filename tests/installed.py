"""The demo's chain at a tiny size, from an installed wheel: `make test-wheel`."""

import sys
import tempfile
from pathlib import Path

from tiny_demo import TINY

import nnssl_plugin
from nnssl_plugin.demo.demo import run_demo

if __name__ == "__main__":
    if "site-packages" not in Path(nnssl_plugin.__file__).parts:
        sys.exit(f"this is not the wheel, but {nnssl_plugin.__file__}")
    with tempfile.TemporaryDirectory(prefix="a wheel ") as folder:
        sys.exit(run_demo(Path(folder) / "demo", TINY))
