from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from torch.optim import Optimizer

from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.supervised_trainer import SupervisedTrainer


class ScratchTrainer(SupervisedTrainer):
    """The control: the same run from nnU-Net's initialisation, at `finetuning.scratch_initial_lr`, nnU-Net's schedule."""

    def configure_optimizers(self) -> tuple[Optimizer, PolyLRScheduler]:
        """nnU-Net's optimiser and schedule."""
        self.initial_lr = self.settings.scratch_initial_lr
        optimizer, schedule = super().configure_optimizers()
        return optimizer, schedule

    def check_weights(self) -> None:
        """Refuse a start with weights: it would be no control."""
        if self.weights_were_loaded():
            raise InputError(
                f"{type(self).__name__} was started with -pretrained_weights; it is the control that has none. "
                "Use SSLFinetuneTrainer"
            )
