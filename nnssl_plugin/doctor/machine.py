import os
import shutil

import psutil
import torch

from nnssl_plugin.doctor.finding import Finding

POOL = "nnUNet_def_n_proc"
NNUNETS_POOL = 8
COMPILERS = ("cc", "gcc", "clang", "cl")


def machine() -> list[Finding]:
    """Device, compiler and processes."""
    return [_device(), _compiler(), _processes()]


def _device() -> Finding:
    if torch.cuda.is_available():
        cards = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        return Finding("device", "ok", ", ".join(f"{card.name} ({card.total_memory / 1e9:.0f} GB)" for card in cards))
    if torch.backends.mps.is_available():
        return Finding("device", "ok", "Apple GPU (-device mps)")
    return Finding(
        "device", "warning", f"no GPU; {psutil.cpu_count(logical=False)} CPU cores", "add -device cpu to nnUNetv2_train"
    )


def _compiler() -> Finding:
    found = next((path for name in COMPILERS if (path := shutil.which(name))), None)
    if found or not torch.cuda.is_available():
        return Finding("compiler", "ok", found or "none, and none is needed without a GPU")
    return Finding(
        "compiler",
        "warning",
        "none, and torch.compile, which nnU-Net uses on a GPU, wants one",
        "install one, or export nnUNet_compile=f",
    )


def _processes() -> Finding:
    cores = psutil.cpu_count() or 1
    pool = int(os.environ.get(POOL, NNUNETS_POOL))
    if pool > 2 * cores:
        return Finding(
            "worker processes", "warning", f"{cores} cores, but nnU-Net's pools have {pool}", f"export {POOL}={cores}"
        )
    return Finding("worker processes", "ok", f"{cores} cores, pools of {pool}")
