"""Where runs are trained, and on which cores."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from nnssl_plugin.nnunet.trainers_folder import trainers_folder

TRAINERS = "nnUNet_extTrainer"
VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass(frozen=True)
class Device:
    """A GPU, as `CUDA_VISIBLE_DEVICES` names it, or a share of the CPU's cores."""

    gpu: str | None = None
    cores: tuple[int, ...] = ()

    @property
    def threads(self) -> int:
        """How many run at once."""
        return max(1, len(self.cores))

    @property
    def name(self) -> str:
        """As nnU-Net's `-device`."""
        return "cpu" if self.gpu is None else "cuda"

    def environment(self) -> dict[str, str]:
        """Of the commands that run on it; what the user has set of nnU-Net's own variables stays."""
        trainers = [os.environ.get(TRAINERS, ""), str(trainers_folder())]
        environment = {
            # Each of nnU-Net's processes for writing predictions imports torch again before it does anything.
            "nnUNet_def_n_proc": "2" if self.gpu is not None else str(min(2, self.threads)),
            **os.environ,
            TRAINERS: os.pathsep.join(dict.fromkeys(filter(None, trainers))),
            "PYTHONUNBUFFERED": "1",
            # Threads that spin while they wait take their core from the loader's workers.
            "OMP_WAIT_POLICY": "PASSIVE",
            "TQDM_MININTERVAL": "5",
        }
        if self.gpu is not None:
            return {**environment, VISIBLE: self.gpu}
        environment.setdefault("nnUNet_n_proc_DA", str(self.threads))
        # nnU-Net asks torch for as many threads as the machine has cores, whatever is set here; what keeps runs apart is
        # that each stays on its own cores.
        return {**environment, "OMP_NUM_THREADS": str(self.threads)}


def devices(gpus: Sequence[str] | None, parallel: int | None) -> list[Device]:
    """One per run at a time.

    Args:
        gpus: as torch numbers those that `CUDA_VISIBLE_DEVICES` leaves; one that is named twice gets two runs.
        parallel: number of runs that share the CPU, where no GPU is named.
    """
    if gpus:
        visible = os.environ.get(VISIBLE, "").split(",")
        return [Device(visible[int(gpu)].strip() if any(visible) else gpu) for gpu in gpus]
    count = parallel or 1
    cores = usable_cores()
    if count == 1:
        return [Device(cores=tuple(cores))]
    return [Device(cores=tuple(cores[i::count]) or (cores[i % len(cores)],)) for i in range(count)]


def usable_cores() -> list[int]:
    """Numbers of the CPU's cores that this process may use."""
    if hasattr(psutil.Process, "cpu_affinity"):
        return sorted(psutil.Process().cpu_affinity())
    return list(range(os.cpu_count() or 1))
