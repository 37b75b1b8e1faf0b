from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from nnunetv2.configuration import default_num_processes
from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(function: Callable[[Item], Result], items: Sequence[Item], description: str) -> list[Result]:
    """`function` of every item, in order, with a progress bar if there is a description.

    Threads suffice: SimpleITK and zlib work outside the interpreter's lock. `nnUNet_def_n_proc` says how many.
    """
    pool = ThreadPoolExecutor(default_num_processes)
    try:
        return list(tqdm(pool.map(function, items), total=len(items), desc=description, disable=not description))
    finally:
        # After an error or Ctrl-C, what has not begun is not worth waiting for.
        pool.shutdown(cancel_futures=True)
