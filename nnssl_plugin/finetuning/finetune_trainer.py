from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.schedules import Rates, sawtooth, sawtooth_lengths
from nnssl_plugin.finetuning.supervised_trainer import SupervisedTrainer


class FinetuneTrainer(SupervisedTrainer):
    """Fine-tuning: warm-up to `finetuning.initial_lr`, then polynomial decay; needs `-pretrained_weights`."""

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
        self.rates(0)

    def rates(self, step: int) -> Rates:
        """Shape of the schedule: a function of the step and the settings alone."""
        settings, steps = self.settings, self.steps
        shares = settings.decoder_up_fraction, settings.decoder_down_fraction, settings.warmup_fraction
        return sawtooth(step, steps, *sawtooth_lengths(steps, *shares))
