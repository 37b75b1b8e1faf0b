from dataclasses import dataclass


@dataclass(frozen=True)
class DemoSize:
    """How much the demo does; the defaults fill about seven minutes of two idle CPU cores.

    `training`, `test`, `unlabelled`: numbers of cases. `shape`: of a phantom, in voxels of `spacing_mm`. `patch_size`:
    of the plans copies, in voxels, axes in the plans' order. `features`: of the first stage, and the most of any.
    `pretraining_batch_size` is that of the pre-training plans. `seed`: of phantoms, initialisation and pre-training.

    The lengths are set by the time they take, never by what the test cases gain.
    """

    training: int = 4
    test: int = 10
    unlabelled: int = 30
    shape: tuple[int, int, int] = (40, 48, 40)
    spacing_mm: float = 3.8
    patch_size: tuple[int, int, int] = (40, 48, 40)
    features: tuple[int, int] = (16, 128)
    pretraining_batch_size: int = 6
    finetuning_batch_size: int = 2
    pretraining_epochs: int = 7
    pretraining_iterations: int = 10
    finetuning_epochs: int = 16
    finetuning_iterations: int = 10
    validation_iterations: int = 3
    save_every: int = 2
    seed: int = 1
