from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler


class WarmupPolyLR(LRScheduler):
    """Linear warm-up, then nnU-Net's polynomial decay; a pure function of the epoch.

    Warm-up as in nnU-Net's fine-tuning schedules (methods.md 6): linear over the first epochs to the peak. Every
    parameter group follows.

    Args:
        optimizer: the optimiser.
        peak_lr: learning rate at the end of warm-up.
        epochs: of the whole run.
        warmup_epochs: of the warm-up.
    """

    def __init__(self, optimizer: Optimizer, peak_lr: float, epochs: int, warmup_epochs: int) -> None:
        self.peak_lr = peak_lr
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        super().__init__(optimizer)

    def lr_at(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 0."""
        if epoch < self.warmup_epochs:
            return self.peak_lr * (epoch + 1) / self.warmup_epochs
        done = (epoch - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        return float(self.peak_lr * (1 - done) ** 0.9)

    def step(self, epoch: int | None = None) -> None:
        """Set the learning rate of `epoch`, by default the next one."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr_at(self.last_epoch)
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]
