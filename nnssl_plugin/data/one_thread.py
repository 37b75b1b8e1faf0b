from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def _libraries() -> ThreadpoolController:
    """Of this process. To find them takes as long as to augment a patch."""
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Numpy's and scipy's libraries use one thread for as long as the block runs, as in nnU-Net's loaders."""
    limited: AbstractContextManager[Any] = _libraries().limit(limits=1)
    return limited
