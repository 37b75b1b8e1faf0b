from dataclasses import asdict
from functools import cached_property, partial
from math import isfinite, pi
from pathlib import Path
from typing import Any

import torch
from batchgenerators.dataloading.nondet_multi_threaded_augmenter import NonDetMultiThreadedAugmenter
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from torch import Tensor
from torch import distributed as dist

from nnssl_plugin.checkpoints.checkpoint_file import (
    read_checkpoint,
    restore_random_state,
    save_atomically,
    shareable_init_args,
)
from nnssl_plugin.checkpoints.provenance import weights_sha256
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.loader import PretrainingDataLoader, in_worker_processes
from nnssl_plugin.objectives.stage_one import check_network
from nnssl_plugin.pretraining.checkpoint import pretraining_checkpoint, restore_step
from nnssl_plugin.pretraining.epoch import BEST_MEASURE, EpochLog
from nnssl_plugin.pretraining.held_out import held_out_patches, split_cohort
from nnssl_plugin.pretraining.make_loader import make_loader
from nnssl_plugin.pretraining.make_step import make_step
from nnssl_plugin.pretraining.report_pretext import report_pretext
from nnssl_plugin.pretraining.run import describe_run, pretraining_run
from nnssl_plugin.pretraining.run_cohort import cohort_of_run
from nnssl_plugin.pretraining.step import PretrainingStep
from nnssl_plugin.pretraining.step_budget import patches_of_process
from nnssl_plugin.probing.pretraining_probe import PretrainingProbe
from nnssl_plugin.training.kept_memory import keep_freed_memory
from nnssl_plugin.training.pretext_logger import PretextLogger
from nnssl_plugin.training.run_checks import check_run, refuse_cascade
from nnssl_plugin.training.run_record import RECORD, record_of_new_run, refuse_other_settings
from nnssl_plugin.training.seeding import seed_everything, start_seed
from nnssl_plugin.transforms.augmentation import stock_augmentation

# What nnU-Net rotates by in 3D; square 2D patches it turns all the way round.
LARGEST_ROTATION = pi / 6


class PretrainTrainer(nnUNetTrainer):
    """Pre-trains the network of the plans with the objectives of the `pretraining` settings, without labels.

    What it trains on, and what its per-epoch measures are taken on, are the images of the fold's training cases and of
    the further data sets named in the settings. Here are nnU-Net's hooks; a step is `PretrainingStep`'s.
    """

    is_ddp: bool
    current_epoch: int
    _best_ema: float | None

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),
    ) -> None:
        settings = check_run(plans, configuration, dataset_json).pretraining
        refuse_cascade(plans, configuration)
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1
        self.run = pretraining_run(plans, configuration, dataset_json, settings, self.world_size)
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self.is_ddp and (device.type == "cpu" or device.index is not None):
            # nnU-Net takes for granted that there are GPUs, and the global rank is one's number.
            self.device = device
        self.my_init_kwargs: dict[str, Any] = shareable_init_args(self.my_init_kwargs)
        self.settings = settings
        self.num_epochs = settings.epochs
        self.num_iterations_per_epoch = settings.iterations_per_epoch
        self.num_val_iterations_per_epoch = settings.validation_iterations
        self.save_every = settings.save_every
        self.initial_lr = settings.initial_lr
        self.weight_decay = settings.weight_decay
        self.enable_deep_supervision = False
        self.logger.local_logger = PretextLogger()
        self.epoch_log = EpochLog(self.logger, self.print_to_log_file)
        self.random_state_to_restore: dict[str, Any] | None = None
        self.last_good: str | None = None
        self.held_out_batches: Any = None

    def _do_i_compile(self) -> bool:
        # Whether compiling the step pays is not measured yet.
        return False

    def _set_batch_size_and_oversample(self) -> None:
        """Patches of this process: those of a step, split over processes."""
        self.patches = patches_of_process(self.run.budget, self.world_size)
        self.batch_size = sum(kind.patches for kind in self.patches.values())

    def initialize(self) -> None:
        """Build network, heads, optimiser and step."""
        keep_freed_memory()
        self.seed = self.settings.seed if self.settings.seed is not None else torch.seed() % 2**31
        seed_everything(self.seed)
        # The step is wrapped in DDP, heads included; nnU-Net would wrap the bare network.
        in_ddp, self.is_ddp = self.is_ddp, False
        try:
            super().initialize()
        finally:
            self.is_ddp = in_ddp
        self.fresh_weights = weights_sha256(self.network.encoder.parameters())

    def _build_loss(self) -> None:
        """The objectives bring their losses along."""

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        """Make the step, whose optimiser is AdamW, under nnU-Net's polynomial decay."""
        self.step: PretrainingStep = make_step(
            self.run, self.network, self.patches, self.device, ddp=self.world_size > 1
        )
        return self.step.optimizer, PolyLRScheduler(self.step.optimizer, self.initial_lr, self.num_epochs)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """As nnU-Net; the network is never wrapped here."""
        self.network.decoder.deep_supervision = enabled

    @cached_property
    def cohort(self) -> list[CaseRecord]:
        """The cases of this run."""
        split, rank, world = self.do_split(), self.local_rank, self.world_size
        return cohort_of_run(self.run, self.dataset_json, split, self.print_to_log_file, rank, world)

    def make_probe(self) -> PretrainingProbe:
        """Judge of the stated epochs, the only reader of labels; a method, because nnU-Net reads every property of a trainer."""
        own = Path(self.preprocessed_dataset_folder)
        cases = [record.case for record in self.cohort if record.file.parent == own]
        say, folder = self.print_to_log_file, Path(self.output_folder)
        return PretrainingProbe(self.run.plans, self.run.name, self.dataset_json, cases, self.device, folder, say)

    def make_loader(self, augment: bool, held_out: bool = False) -> PretrainingDataLoader:
        """Loader over the cases that are trained on, or over those held out, in this process."""
        rotation, dummy_2d, _, axes = self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if not self.settings.mirroring:
            # A picture that is upside down has left and right exchanged too.
            rotation = max(rotation[0], -LARGEST_ROTATION), min(rotation[1], LARGEST_ROTATION)
        augmentation = partial(
            stock_augmentation,
            rotation=rotation,
            mirror_axes=axes if self.settings.mirroring else (),
            dummy_2d=dummy_2d,
            use_mask_for_norm=self.configuration_manager.use_mask_for_norm,
        )
        training, others = split_cohort(self.run, self.cohort)
        records = others if held_out else training
        patches = held_out_patches(self.run, self.patches) if held_out else self.patches
        return make_loader(self.run, records, patches, augmentation, augment, self.local_rank, self.world_size)

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Augmented patches to train on; unaugmented ones of the same images to measure on."""
        processes, pin = get_allowed_n_proc_DA(), self.device.type == "cuda"
        measured = min(processes, max(1, processes // 2))
        if self.run.weighted:
            few = min(processes, max(1, processes // self.settings.meta.every))
            self.held_out_batches = in_worker_processes(self.make_loader(augment=True, held_out=True), few, pin)
        return (
            in_worker_processes(self.make_loader(augment=True), processes, pin),
            in_worker_processes(self.make_loader(augment=False), measured, pin),
        )

    def on_train_start(self) -> None:
        """As nnU-Net, after saying what will run; refuses to overwrite a finished run of other settings."""
        if not self.was_initialized:
            self.initialize()
        self.step.prepare(self.cohort, self.print_to_log_file)
        if self.random_state_to_restore is None:
            weights = weights_sha256(self.network.encoder.parameters())
            if weights == self.fresh_weights:
                check_network(self.run.active)
            self.my_init_kwargs[RECORD] = record_of_new_run(
                Path(self.output_folder),
                asdict(self.settings),
                self.configuration_manager.configuration,
                [record.case for record in self.cohort],
                initial_weights="none" if weights == self.fresh_weights else weights,
            )
            self.step.start()
        if self.settings.probe and self.local_rank == 0:
            self.probe = self.make_probe()
            if self.random_state_to_restore is None:
                self.probe.start()
        for line in describe_run(self.run, self.cohort, self.world_size):
            self.print_to_log_file(line)
        # Patches and views of each process's own; a resumed run must not draw those of the first epochs again.
        seed = start_seed(self.seed, self.local_rank, self.current_epoch)
        seed_everything(seed + 1)
        self.step.generator.manual_seed(seed + 2)
        super().on_train_start()
        if self.random_state_to_restore is not None and self.local_rank == 0:
            # Starting the loaders drew random numbers.
            restore_random_state(self.random_state_to_restore, self.step.generator)

    def on_train_epoch_start(self) -> None:
        """As nnU-Net, heads included."""
        super().on_train_epoch_start()
        self.step.module.train()
        self.step.progress = self.current_epoch / self.num_epochs
        self.steps_of_epoch = 0

    def train_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One step; every few ones, the weights of pairs are learned too."""
        self.steps_of_epoch += 1
        due = self.held_out_batches is not None and self.steps_of_epoch % self.settings.meta.every == 0
        return self.step.train(batch, next(self.held_out_batches) if due else None)

    def on_train_epoch_end(self, train_outputs: list[dict[str, Tensor]]) -> None:
        """Log the steps."""
        self.epoch_log.trained(train_outputs, self.current_epoch, self.last_good)

    def on_validation_epoch_start(self) -> None:
        """Heads and network to evaluation mode."""
        self.step.module.eval()

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The same values without augmentation and without a step."""
        return self.step.measure(batch)

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Tensor]]) -> None:
        """Log the measures."""
        self.epoch_log.measured(val_outputs, self.current_epoch)

    def on_epoch_end(self) -> None:
        """Print, save and plot."""
        average = self.epoch_log.ended(self.current_epoch)
        if isfinite(average) and (self._best_ema is None or average < self._best_ema):
            self._best_ema = average
            self.print_to_log_file(f"New best {BEST_MEASURE}: {average:.4f}")
            self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_best.pth"))
        if (self.current_epoch + 1) % self.save_every == 0 and self.current_epoch != self.num_epochs - 1:
            self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_latest.pth"))
        if self.current_epoch + 1 in self.settings.keep:
            self.save_checkpoint(str(Path(self.output_folder) / f"checkpoint_epoch_{self.current_epoch + 1}.pth"))
        if self.local_rank == 0:
            if self.current_epoch + 1 in self.settings.probe:
                self.probe.epoch(self.network, self.current_epoch + 1)
            self.logger.plot_progress_png(self.output_folder)
        self.current_epoch += 1

    def on_train_end(self) -> None:
        """As nnU-Net; the loader of held-out cases ends too."""
        super().on_train_end()
        if isinstance(self.held_out_batches, NonDetMultiThreadedAugmenter):
            self.held_out_batches._finish()

    def save_checkpoint(self, filename: str) -> None:
        """Write the complete stock network, on the CPU, with everything needed to resume beside it."""
        if self.disable_checkpointing:
            self.print_to_log_file("No checkpoint written, checkpointing is disabled")
            return
        self.last_good = filename
        if self.local_rank != 0:
            return
        of_trainer = {
            "logging": self.logger.get_checkpoint(),
            "_best_ema": self._best_ema,
            "current_epoch": self.current_epoch + 1,
            "init_args": self.my_init_kwargs,
            "trainer_name": type(self).__name__,
            "inference_allowed_mirroring_axes": self.inference_allowed_mirroring_axes,
        }
        save_atomically(pretraining_checkpoint(self.step, self.run, of_trainer), filename)

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Resume: network, heads, teacher, optimiser, scaler, log and random state."""
        if not self.was_initialized:
            self.initialize()
        checkpoint = filename_or_checkpoint
        if isinstance(checkpoint, str):
            self.last_good = checkpoint
            checkpoint = read_checkpoint(checkpoint)
        refuse_other_settings(str(filename_or_checkpoint), checkpoint["init_args"], self.settings)
        restore_step(self.step, checkpoint)
        self.logger.load_checkpoint(checkpoint["logging"])
        self._best_ema = checkpoint["_best_ema"]
        self.current_epoch = checkpoint["current_epoch"]
        self.my_init_kwargs = checkpoint["init_args"]
        self.inference_allowed_mirroring_axes = checkpoint["inference_allowed_mirroring_axes"]
        self.random_state_to_restore = checkpoint["nnssl_plugin"]["random_state"]

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """In place of a segmentation: what the pretext learned, as figures and pictures, in `validation/`."""
        report_pretext(
            self.run,
            self.step,
            self.make_loader(augment=False),
            self.cohort,
            Path(self.output_folder),
            self.local_rank,
            self.print_to_log_file,
        )
