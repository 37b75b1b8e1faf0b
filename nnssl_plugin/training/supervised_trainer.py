import hashlib
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from torch.optim import Optimizer

from nnssl_plugin.errors import InputError
from nnssl_plugin.training.checkpoint import shareable_init_args
from nnssl_plugin.training.run_checks import (
    RECORD,
    check_run,
    refuse_finished_run,
    refuse_other_settings,
    refuse_unlabelled,
    run_record,
)
from nnssl_plugin.training.seeding import seed_everything, start_seed
from nnssl_plugin.training.warmup_schedule import WarmupPolyLR


class SupervisedTrainer(nnUNetTrainer, ABC):
    """nnU-Net's training with the plugin's `finetuning` settings; what fine-tuning and its control have in common.

    Network, loss, augmentation, validation and file formats are nnU-Net's. Refuses unlabelled data sets and finished
    runs of other settings.
    """

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
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.my_init_kwargs: dict[str, Any] = shareable_init_args(self.my_init_kwargs)
        self.num_epochs = self.settings.epochs
        self.num_iterations_per_epoch = self.settings.iterations_per_epoch
        self.num_val_iterations_per_epoch = self.settings.validation_iterations
        self.save_every = self.settings.save_every
        self.resumed = False

    def initialize(self) -> None:
        """As nnU-Net, seeded; remembers the fresh weights, to tell later whether others were loaded."""
        if self.settings.seed is not None:
            seed_everything(start_seed(self.settings.seed, self.local_rank, 0))
        super().initialize()
        self.fresh_weights = self._encoder_digest()

    def _encoder_digest(self) -> str:
        network = self.network.module if self.is_ddp else self.network
        network = getattr(network, "_orig_mod", network)
        digest = hashlib.sha256()
        for parameter in network.encoder.parameters():
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def weights_were_loaded(self) -> bool:
        """Whether `-pretrained_weights` replaced the weights this trainer initialised."""
        return self._encoder_digest() != self.fresh_weights

    def on_train_start(self) -> None:
        """Record what training starts from; refuse to overwrite a finished run made otherwise."""
        if not self.was_initialized:
            self.initialize()
        if not self.resumed:
            self.check_weights()
            record = run_record(
                asdict(self.settings),
                self.configuration_manager.configuration,
                self.do_split()[0],
                initial_weights=self._encoder_digest() if self.weights_were_loaded() else "none",
            )
            refuse_finished_run(Path(self.output_folder), record)
            self.my_init_kwargs[RECORD] = record
        super().on_train_start()

    @abstractmethod
    def check_weights(self) -> None:
        """Stop a run whose starting weights contradict the trainer's name."""

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """As nnU-Net, with the settings the run was started with; it counts as resumed."""
        super().load_checkpoint(filename_or_checkpoint)
        refuse_other_settings(str(filename_or_checkpoint), self.my_init_kwargs, asdict(self.settings))
        self.resumed = True
        if self.settings.seed is not None:
            # Not the patches of the first epochs again.
            seed_everything(start_seed(self.settings.seed, self.local_rank, self.current_epoch))

    def save_checkpoint(self, filename: str) -> None:
        """As nnU-Net, but a process killed meanwhile leaves the previous file intact."""
        if self.local_rank != 0 or self.disable_checkpointing:
            super().save_checkpoint(filename)
            return
        partial = Path(f"{filename}.part")
        super().save_checkpoint(str(partial))
        partial.replace(filename)


class FinetuneTrainer(SupervisedTrainer):
    """Fine-tuning: warm-up to `finetuning.initial_lr`, then polynomial decay; needs `-pretrained_weights`."""

    def configure_optimizers(self) -> tuple[Optimizer, WarmupPolyLR]:
        """nnU-Net's optimiser under the warm-up schedule."""
        self.initial_lr = self.settings.initial_lr
        optimizer, _ = super().configure_optimizers()
        warmup = round(self.settings.warmup_fraction * self.num_epochs)
        return optimizer, WarmupPolyLR(optimizer, self.initial_lr, self.num_epochs, min(warmup, self.num_epochs - 1))

    def check_weights(self) -> None:
        """Refuse a start without weights: it would be training from scratch in disguise."""
        if not self.weights_were_loaded():
            raise InputError(
                f"{type(self).__name__} was started without weights: add -pretrained_weights CHECKPOINT, --c to resume, or "
                "train from scratch with SSLScratchTrainer"
            )


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
