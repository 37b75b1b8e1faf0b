from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.supervised_trainer import SupervisedTrainer

NNUNET_INITIAL_LR = 0.01


class ScratchTrainer(SupervisedTrainer):
    """The control: the run of `FinetuneTrainer` from nnU-Net's initialisation, under the same optimiser and schedule.

    `finetuning.scratch_initial_lr` and `finetuning.scratch_warmup_fraction` set it apart.
    """

    def peak_rate(self) -> float:
        """`finetuning.scratch_initial_lr`; by default fine-tuning's for AdamW, nnU-Net's 0.01 for SGD."""
        settings = self.settings
        if settings.scratch_initial_lr is not None:
            return settings.scratch_initial_lr
        return super().peak_rate() if settings.optimizer == "adamw" else NNUNET_INITIAL_LR

    def warmup_share(self) -> float:
        """`finetuning.scratch_warmup_fraction`; by default fine-tuning's."""
        own = self.settings.scratch_warmup_fraction
        return super().warmup_share() if own is None else own

    def check_weights(self) -> None:
        """Refuse a start with weights: it would be no control."""
        if self.weights_were_loaded():
            raise InputError(
                f"{type(self).__name__} was started with -pretrained_weights; it is the control that has none. "
                "Use SSLFinetuneTrainer"
            )
