import platform
import subprocess
import sys

import pytest

PAGES = """
import resource, sys
if sys.argv[1] == "keep":
    from nnssl_plugin.training.kept_memory import keep_freed_memory
    keep_freed_memory()
block = b"x" * 2**26
del block
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    block = b"x" * 2**26
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has mallopt")
def test_large_blocks_are_used_again() -> None:
    def new_pages(what: str) -> int:
        run = subprocess.run([sys.executable, "-c", PAGES, what], check=True, capture_output=True, text=True)
        return int(run.stdout)

    assert new_pages("keep") < new_pages("give back") / 10
