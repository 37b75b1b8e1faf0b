from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint, shareable_init_args
from nnssl_plugin.checkpoints.provenance import provenance as provenance_of
from nnssl_plugin.checkpoints.provenance import weights_sha256
from nnssl_plugin.checkpoints.recorded import recorded_section
from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.background_plateau import LOG_KEY, plateau, predicted_foreground
from nnssl_plugin.finetuning.finetuned_checkpoint import save_finetuned
from nnssl_plugin.finetuning.label_subset import label_subset
from nnssl_plugin.finetuning.parameter_groups import unwrapped
from nnssl_plugin.finetuning.scheduled_trainer import ScheduledTrainer
from nnssl_plugin.nnunet.dataset_json import channel_names, patient_of
from nnssl_plugin.training.kept_memory import keep_freed_memory
from nnssl_plugin.training.run_checks import check_run, refuse_unlabelled
from nnssl_plugin.training.run_record import RECORD, record_of_new_run, refuse_other_settings
from nnssl_plugin.training.seeding import seed_everything, start_seed


class SupervisedTrainer(ScheduledTrainer, ABC):
    """nnU-Net's training with the plugin's `finetuning` settings; what fine-tuning and its control have in common.

    Network, loss, augmentation, step, validation and file formats are nnU-Net's. Refuses unlabelled data sets and finished
    runs of other settings.
    """

    is_ddp: bool

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),
    ) -> None:
        self.settings = check_run(plans, configuration, dataset_json).finetuning
        refuse_unlabelled(dataset_json, plans["dataset_name"])
        self.check_settings()
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.my_init_kwargs: dict[str, Any] = shareable_init_args(self.my_init_kwargs)
        self.num_epochs = self.settings.epochs
        self.num_iterations_per_epoch = self.settings.iterations_per_epoch
        self.num_val_iterations_per_epoch = self.settings.validation_iterations
        self.save_every = self.settings.save_every
        self.logger.local_logger.my_fantastic_logging[LOG_KEY] = []
        self.resumed = False
        self.initial_weights = "none"

    def check_settings(self) -> None:
        """Refuse settings that this trainer cannot follow, before anything is made."""

    def initialize(self) -> None:
        """As nnU-Net, seeded; remembers the fresh weights, to tell later whether others were loaded."""
        keep_freed_memory()
        if self.settings.seed is not None:
            seed_everything(start_seed(self.settings.seed, self.local_rank, 0))
        super().initialize()
        self.fresh_weights = self._encoder_sha256()

    def _encoder_sha256(self) -> str:
        return weights_sha256(unwrapped(self.network).encoder.parameters())

    def weights_were_loaded(self) -> bool:
        """Whether `-pretrained_weights` replaced the weights this trainer initialised."""
        return self._encoder_sha256() != self.fresh_weights

    def do_split(self) -> tuple[list[str], list[str]]:
        """nnU-Net's split, of whose training cases `finetuning.label_fraction` keeps some patients."""
        training, validation = super().do_split()
        if self.settings.label_fraction == 1:
            return training, validation
        patients = {case: patient_of(self.dataset_json, case) for case in training}
        kept = label_subset(patients, self.settings.label_seed, fraction=self.settings.label_fraction)
        self.print_to_log_file(
            f"Labels of {len({patients[case] for case in kept})} of {len(set(patients.values()))} training patients are "
            f"used ({len(kept)} cases; finetuning.label_fraction {self.settings.label_fraction:g}, seed "
            f"{self.settings.label_seed})"
        )
        return kept, validation

    def on_train_start(self) -> None:
        """Record what training starts from; refuse to overwrite a finished run made otherwise."""
        if not self.was_initialized:
            self.initialize()
        if not self.resumed:
            self.check_weights()
            if self.weights_were_loaded():
                self.initial_weights = self._encoder_sha256()
            self.my_init_kwargs[RECORD] = record_of_new_run(
                Path(self.output_folder),
                asdict(self.settings),
                self.configuration_manager.configuration,
                self.do_split()[0],
                **self.start_record(),
            )
        super().on_train_start()

    def start_record(self) -> dict[str, str]:
        """What makes this run another than one of the same settings."""
        return {"initial_weights": self.initial_weights}

    @abstractmethod
    def check_weights(self) -> None:
        """Stop a run whose starting weights contradict the trainer's name."""

    def on_train_epoch_start(self) -> None:
        """As nnU-Net, seeded by epoch, so that a resumed run draws what an uninterrupted one does."""
        if self.settings.seed is not None:
            seed_everything(start_seed(self.settings.seed, self.local_rank, self.current_epoch))
        super().on_train_epoch_start()

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """As nnU-Net; logs how much foreground is predicted."""
        super().on_validation_epoch_end(val_outputs)
        share = predicted_foreground(val_outputs, self.is_ddp)
        self.logger.log(LOG_KEY, share, self.current_epoch)
        self.print_to_log_file(f"Predicted foreground: {share:.3f} of the reference's")

    def on_train_end(self) -> None:
        """As nnU-Net, after saying how long the run predicted background only."""
        background = plateau(self.logger.get_value(LOG_KEY, step=None))
        last = f", the last of them epoch {background[-1]}" if background else ""
        self.print_to_log_file(
            f"{len(background)} of {self.num_epochs} epochs ({len(background) * self.num_iterations_per_epoch} steps) ended "
            f"with background only{last}"
        )
        super().on_train_end()

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's checkpoint, with what it is made of, written whole or not at all."""
        save = super().save_checkpoint
        if self.local_rank != 0 or self.disable_checkpointing:
            save(filename)
            return
        save_finetuned(filename, save, self.configuration_manager, self.provenance())

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """As nnU-Net, with the settings the run was started with; it counts as resumed."""
        saved = read_checkpoint(filename_or_checkpoint, mmap=True)
        refuse_other_settings(filename_or_checkpoint, recorded_section(saved, "init_args"), self.settings)
        if not self.was_initialized:
            self.initialize()
        try:
            super().load_checkpoint(filename_or_checkpoint)
        except ValueError as error:
            raise InputError(
                f"{filename_or_checkpoint} holds the optimiser of another version of the plugin ({error}): use that "
                "version, or train again from the start (without --c)"
            ) from error
        self.resumed = True
        self.initial_weights = recorded_section(self.my_init_kwargs, RECORD).get("initial_weights", "none")

    def provenance(self) -> dict[str, Any]:
        """What a checkpoint says it is made of."""
        return provenance_of(
            type(self).__name__,
            self.plans_manager.dataset_name,
            channel_names(self.dataset_json),
            self.configuration_name,
            plans=self.plans_manager.plans_name,
            fold=self.fold,
            epochs=self.current_epoch + 1,
            iterations_per_epoch=self.num_iterations_per_epoch,
            optimizer=self.settings.optimizer,
            label_fraction=self.settings.label_fraction,
            initial_weights=self.initial_weights,
            encoder_sha256=self._encoder_sha256(),
            background_only_epochs=len(plateau(self.logger.get_value(LOG_KEY, step=None))),
        )
