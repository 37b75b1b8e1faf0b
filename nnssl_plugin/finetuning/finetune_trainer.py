from torch.optim import Optimizer

from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.parameter_groups import DECODER, ENCODER, SEGMENTATION, split_groups
from nnssl_plugin.finetuning.schedules import EpochSchedule, Rates, sawtooth, sawtooth_lengths, warmup
from nnssl_plugin.finetuning.supervised_trainer import SupervisedTrainer


class FinetuneTrainer(SupervisedTrainer):
    """Fine-tuning: warm-up to `finetuning.initial_lr`, then polynomial decay; needs `-pretrained_weights`."""

    def configure_optimizers(self) -> tuple[Optimizer, EpochSchedule]:
        """nnU-Net's optimiser, in parts with learning rates of their own, under this trainer's schedule."""
        self.initial_lr = self.settings.initial_lr
        optimizer, _ = super().configure_optimizers()
        split_groups(optimizer, self.network)
        return optimizer, EpochSchedule(optimizer, self.learning_rates)

    def rates(self, epoch: int) -> Rates:
        """Shape of the schedule: a function of the epoch and the settings alone."""
        up = min(round(self.settings.warmup_fraction * self.num_epochs), self.num_epochs - 1)
        return warmup(epoch, self.num_epochs, up)

    def learning_rates(self, epoch: int) -> dict[str, float]:
        """Learning rate of each part; the segmentation layers, always new, have a peak of their own."""
        rates, peak, new = self.rates(epoch), self.settings.initial_lr, self.settings.segmentation_lr
        return {
            ENCODER: peak * rates.encoder,
            DECODER: peak * rates.decoder,
            SEGMENTATION: (peak if new is None else new) * rates.decoder,
        }

    def on_train_epoch_start(self) -> None:
        """As nnU-Net; says the stage and what each part's learning rate is."""
        super().on_train_epoch_start()
        rates = ", ".join(f"{name} {rate:.2e}" for name, rate in self.learning_rates(self.current_epoch).items())
        self.print_to_log_file(f"Stage: {self.rates(self.current_epoch).stage}; learning rates: {rates}")

    def check_weights(self) -> None:
        """Refuse a start without weights: it would be training from scratch in disguise."""
        if not self.weights_were_loaded():
            raise InputError(
                f"{type(self).__name__} was started without weights: add -pretrained_weights CHECKPOINT, --c to resume, or "
                "train from scratch with SSLScratchTrainer"
            )


class SawtoothTrainer(FinetuneTrainer):
    """Fine-tuning in two teeth: the decoder alone up and down, then the whole network as `FinetuneTrainer`."""

    def check_settings(self) -> None:
        """Refuse runs too short for every stage."""
        self._lengths(self.settings.epochs)

    def rates(self, epoch: int) -> Rates:
        """Shape of the schedule: a function of the epoch and the settings alone."""
        return sawtooth(epoch, self.num_epochs, *self._lengths(self.num_epochs))

    def _lengths(self, epochs: int) -> tuple[int, int, int]:
        settings = self.settings
        return sawtooth_lengths(
            epochs, settings.decoder_up_fraction, settings.decoder_down_fraction, settings.warmup_fraction
        )
