import ctypes
import platform

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Have this process, and those it forks, keep freed memory for what is allocated next (ours).

    By default glibc gives every large block back to the system at once, and the next one comes page by page, filled with
    zeros. On a CPU that is 8 to 32 % of a step, whose activations are such blocks (docs/speed.md). Without glibc nothing is
    done.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)
