from typing import Any

from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.optim import Optimizer

from nnssl_plugin.finetuning.optimizers import ADAMW_WEIGHT_DECAY, adamw_by_part, sgd_by_part
from nnssl_plugin.finetuning.parameter_groups import DECODER, ENCODER, SEGMENTATION
from nnssl_plugin.finetuning.schedules import Rates, StepSchedule, warmup, warmup_length
from nnssl_plugin.settings.settings import FinetuningSettings


class ScheduledTrainer(nnUNetTrainer):
    """nnU-Net's training step under the optimiser and the schedule of the `finetuning` settings."""

    settings: FinetuningSettings
    current_epoch: int
    step = 0

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.settings.epochs * self.settings.iterations_per_epoch

    def peak_rate(self) -> float:
        """Learning rate that the warm-up ends at."""
        return self.settings.initial_lr

    def warmup_share(self) -> float:
        """Share of the steps over which the rate rises."""
        return self.settings.warmup_fraction

    def rates(self, step: int) -> Rates:
        """Shape of the schedule: a function of the step and the settings alone."""
        return warmup(step, self.steps, warmup_length(self.steps, self.warmup_share()))

    def learning_rates(self, step: int) -> dict[str, float]:
        """Learning rate of each part; the segmentation layers, always new, have a peak of their own."""
        rates, peak, new = self.rates(step), self.peak_rate(), self.settings.segmentation_lr
        return {
            ENCODER: peak * rates.encoder,
            DECODER: peak * rates.decoder,
            SEGMENTATION: (peak if new is None else new) * rates.decoder,
        }

    def configure_optimizers(self) -> tuple[Optimizer, StepSchedule]:
        """AdamW or nnU-Net's optimiser, in parts with learning rates of their own, under this trainer's schedule."""
        self.initial_lr = self.peak_rate()
        optimizer: Optimizer
        if self.settings.optimizer == "adamw":
            self.weight_decay = ADAMW_WEIGHT_DECAY
            optimizer = adamw_by_part(self.network, self.initial_lr)
        else:
            optimizer, _ = super().configure_optimizers()
            sgd_by_part(optimizer, self.network)
        return optimizer, StepSchedule(optimizer, self.learning_rates, self.num_iterations_per_epoch)

    def on_train_epoch_start(self) -> None:
        """As nnU-Net; says the stage and what each part's learning rate is."""
        super().on_train_epoch_start()
        self.step = self.current_epoch * self.num_iterations_per_epoch
        rates = ", ".join(f"{name} {rate:.2e}" for name, rate in self.learning_rates(self.step).items())
        self.print_to_log_file(f"Stage: {self.rates(self.step).stage}; learning rates: {rates}")

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As nnU-Net, at the learning rates of the step."""
        self.lr_scheduler.set_rates(self.step)
        outputs: dict[str, Any] = super().train_step(batch)
        self.step += 1
        return outputs
