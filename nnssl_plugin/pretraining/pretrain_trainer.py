from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from time import time
from typing import Any

import numpy as np
import torch
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from nnssl_plugin.checkpoints.checkpoint_file import (
    read_checkpoint,
    restore_random_state,
    save_atomically,
    shareable_init_args,
)
from nnssl_plugin.data.case_index import CaseRecord
from nnssl_plugin.data.cohort import gather_cohort
from nnssl_plugin.data.loader import (
    PretrainingDataLoader,
    in_worker_processes,
    intensity_statistics,
    patient_indices,
    records_of_process,
)
from nnssl_plugin.errors import InputError
from nnssl_plugin.networks.pretraining_network import PretrainingNetwork
from nnssl_plugin.nnunet.dataset_json import channel_names
from nnssl_plugin.objectives.objective import NetworkShape, Objective, ObjectiveResult, PretrainingBatch, Views
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.objectives_of_run import active_objectives, check_cohort, check_objectives, view_budget
from nnssl_plugin.pretraining.pretext_logger import CHANCE, PretextLogger
from nnssl_plugin.pretraining.pretext_validation import validate_pretext
from nnssl_plugin.pretraining.pretrain_checkpoint import BEST_MEASURE, pretraining_checkpoint, restore_pretraining
from nnssl_plugin.pretraining.skipped_steps import (
    SKIPPED,
    count_skipped,
    describe_skipped,
    step_if_finite,
    stop_where_most_are_skipped,
)
from nnssl_plugin.settings.settings import PretrainingSettings
from nnssl_plugin.training.run_checks import check_run, refuse_cascade
from nnssl_plugin.training.run_record import RECORD, refuse_finished_run, refuse_other_settings, run_record
from nnssl_plugin.training.seeding import seed_everything, start_seed
from nnssl_plugin.transforms.augmentation import stock_augmentation
from nnssl_plugin.transforms.denormalization import DenormalizationTransform


class PretrainTrainer(nnUNetTrainer):
    """Pre-trains the network of the plans with the objectives of the `pretraining` settings, without labels.

    What it trains on, and what its per-epoch measures are taken on, are the images of the fold's training cases and of
    the further data sets named in the settings. It knows the objectives through `Objective` only.
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
        self.settings: PretrainingSettings = check_run(plans, configuration, dataset_json).pretraining
        refuse_cascade(plans, configuration)
        self.modalities = channel_names(dataset_json)
        self.active_objectives = active_objectives(self.settings)
        planned = PlansManager(plans).get_configuration(configuration)
        check_objectives(self.active_objectives, plans["dataset_name"], self.modalities, planned)
        self.budget = view_budget(self.settings, planned)
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.my_init_kwargs: dict[str, Any] = shareable_init_args(self.my_init_kwargs)
        self.num_epochs = self.settings.epochs
        self.num_iterations_per_epoch = self.settings.iterations_per_epoch
        self.num_val_iterations_per_epoch = self.settings.validation_iterations
        self.save_every = self.settings.save_every
        self.initial_lr = self.settings.initial_lr
        self.weight_decay = self.settings.weight_decay
        self.enable_deep_supervision = False
        self.logger.local_logger = PretextLogger()
        self.world_size = dist.get_world_size() if self.is_ddp else 1
        self.generator = torch.Generator(self.device)
        self.random_state_to_restore: dict[str, Any] | None = None
        self.last_good: str | None = None

    # ---------------------------------------------------------------- network

    def _do_i_compile(self) -> bool:
        # Only parts of the network are called, between hooks; whether compiling them pays is not measured yet.
        return False

    def _set_batch_size_and_oversample(self) -> None:
        """Patches of this process: those of a step, split over processes."""
        if self.budget.patients < self.world_size:
            raise InputError(
                f"{self.budget.patients} patches a step cannot be split over {self.world_size} GPUs; use at most "
                f"{self.budget.patients} of them, or raise pretraining.patients_per_step and the batch size of the plans"
            )
        self.batch_size = self.budget.patients // self.world_size

    def initialize(self) -> None:
        """Build network, heads and optimiser; under DDP, one wrapper goes around network and heads."""
        self.seed = self.settings.seed if self.settings.seed is not None else torch.seed() % 2**31
        seed_everything(self.seed)
        # nnU-Net would wrap the bare network, and a forward past the wrapper synchronises nothing.
        in_ddp, self.is_ddp = self.is_ddp, False
        try:
            super().initialize()
        finally:
            self.is_ddp = in_ddp
        self.step_module: nn.Module = self.pretraining_network
        if self.is_ddp:
            self.step_module = DistributedDataParallel(
                nn.SyncBatchNorm.convert_sync_batchnorm(self.pretraining_network), device_ids=[self.local_rank]
            )

    def _build_loss(self) -> None:
        """The objectives bring their losses along."""

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, PolyLRScheduler]:
        """Hang the heads beside the network and optimise both with AdamW under nnU-Net's polynomial decay.

        AdamW instead of nnU-Net's SGD is ours.
        """
        patch = self.configuration_manager.patch_size
        stride = np.prod(self.configuration_manager.pool_op_kernel_sizes, axis=0)
        features = self.network.encoder.output_channels
        shape = NetworkShape(
            tuple(self.modalities),
            self.budget.crop_size,
            tuple((patch // stride).tolist()),
            tuple(features),
            features[0],
        )
        objectives: dict[str, Objective] = {
            name: OBJECTIVES[name](section, shape) for name, section in self.active_objectives.items()
        }
        self.pretraining_network = PretrainingNetwork(self.network, objectives).to(self.device)
        trained = [p for p in self.pretraining_network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, self.initial_lr, weight_decay=self.weight_decay)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """As nnU-Net; the network is never wrapped here."""
        self.network.decoder.deep_supervision = enabled

    # ------------------------------------------------------------------- data

    @cached_property
    def cohort(self) -> list[CaseRecord]:
        """The cases of this run."""
        training, validation = self.do_split()
        return gather_cohort(
            self.plans_manager.plans,
            self.configuration_manager.data_identifier,
            self.dataset_json,
            training,
            validation,
            self.settings.datasets,
            self.print_to_log_file,
            self.local_rank,
            self.world_size,
        )

    def make_loader(self, augment: bool) -> PretrainingDataLoader:
        """Loader over the cohort, in this process."""
        rotation, dummy_2d, _, axes = self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        mirror_axes = axes if self.settings.mirroring else ()
        use_mask = self.configuration_manager.use_mask_for_norm
        return PretrainingDataLoader(
            records_of_process(self.cohort, self.local_rank, self.world_size, self.budget.patients),
            patient_indices(self.cohort),
            self.batch_size,
            self.budget.crop_size,
            self.settings.minimum_foreground,
            DenormalizationTransform(intensity_statistics(self.cohort), self.settings.denormalization),
            stock_augmentation(self.budget.crop_size, rotation, mirror_axes, dummy_2d, use_mask),
            augment,
        )

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Augmented patches to train on; unaugmented ones of the same images to measure on."""
        processes, pin = get_allowed_n_proc_DA(), self.device.type == "cuda"
        measured = min(processes, max(1, processes // 2))
        return (
            in_worker_processes(self.make_loader(augment=True), processes, pin),
            in_worker_processes(self.make_loader(augment=False), measured, pin),
        )

    # --------------------------------------------------------------- training

    def on_train_start(self) -> None:
        """As nnU-Net, after saying what will run; refuses to overwrite a finished run of other settings."""
        if not self.was_initialized:
            self.initialize()
        record = run_record(
            asdict(self.settings),
            self.configuration_manager.configuration,
            [record.case for record in self.cohort],
        )
        check_cohort(self.active_objectives, self.cohort)
        if self.random_state_to_restore is None:
            refuse_finished_run(Path(self.output_folder), record)
        self.my_init_kwargs[RECORD] = record
        patients = len({record.patient for record in self.cohort})
        budget, drawn = self.budget, self.batch_size * self.world_size
        self.print_to_log_file(
            f"Pre-training on {len(self.cohort)} cases of {patients} patients, no labels: "
            f"{', '.join(f'{name} (weight {s.weight:g})' for name, s in self.active_objectives.items())}; "
            f"{drawn} patches of {' x '.join(map(str, budget.crop_size))} voxels a step"
        )
        wanted = self.settings.patients_per_step
        if budget.patients < wanted:
            self.print_to_log_file(
                f"{wanted} patients per step do not fit the voxel budget of the plans (batch size x patch size, over every "
                f"view): {budget.patients} it is. A larger batch size in the plans makes room"
            )
        if drawn < budget.patients:
            self.print_to_log_file(
                f"{budget.patients} patches do not split evenly over {self.world_size} GPUs: {drawn} it is"
            )
        # Patches and views of each process's own; a resumed run must not draw those of the first epochs again.
        seed_everything(start_seed(self.seed, self.local_rank, self.current_epoch) + 1)
        self.generator.manual_seed(start_seed(self.seed, self.local_rank, self.current_epoch) + 2)
        super().on_train_start()
        if self.random_state_to_restore is not None and self.local_rank == 0:
            restore_random_state(self.random_state_to_restore, self.generator)

    def on_train_epoch_start(self) -> None:
        """As nnU-Net, heads included."""
        super().on_train_epoch_start()
        self.step_module.train()

    def draw_views(self, patches: PretrainingBatch) -> dict[str, Views]:
        """The views each objective wants encoded."""
        return {
            name: objective.draw_views(patches, self.generator)
            for name, objective in self.pretraining_network.objectives.items()
        }

    def mixed_precision(self) -> AbstractContextManager[Any]:
        """As nnU-Net has it."""
        return torch.autocast("cuda") if self.device.type == "cuda" else nullcontext()

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict[str, ObjectiveResult]]:
        """Views of a batch of the loader, and the objectives' results on them."""
        patches = PretrainingBatch.from_loader(batch, self.device)
        views = self.draw_views(patches)
        with self.mixed_precision():
            total, results = self.step_module(patches, views)
        return total, results

    def measure(self, patches: PretrainingBatch) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]]]:
        """Values as of `validation_step`, and each objective's evidence for its summary over many batches."""
        views = self.draw_views(patches)
        with self.mixed_precision():
            features = self.pretraining_network.encode(views)
            values = named_values(*self.pretraining_network.score(features, views, patches))
            objectives = self.pretraining_network.objectives.items()
            evidence = {
                name: objective.evidence(features[name], views[name], patches) for name, objective in objectives
            }
        return values, evidence

    def train_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One optimisation step; one with a non-finite gradient changes no weight, and is counted as is a non-finite loss."""
        self.optimizer.zero_grad(set_to_none=True)
        total, results = self.forward(batch)
        skipped = step_if_finite(total, self.optimizer, self.grad_scaler)
        culprits = {f"{SKIPPED}/{name}": (~torch.isfinite(r.loss.detach())).float() for name, r in results.items()}
        return {**named_values(total, results), SKIPPED: skipped, **culprits}

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """The same quantities without augmentation and without a step."""
        return named_values(*self.forward(batch))

    def on_train_epoch_end(self, train_outputs: list[dict[str, Tensor]]) -> None:
        """Log the epoch's means; stop where most steps of the epoch had a non-finite loss or gradient."""
        steps = len(train_outputs)
        skipped, culprits = count_skipped(train_outputs)
        if skipped:
            self.print_to_log_file(f"skipped {describe_skipped(skipped, steps, culprits)}")
        stop_where_most_are_skipped(skipped, steps, culprits, self.current_epoch, self.last_good)
        outputs = [{k: v for k, v in step.items() if not k.startswith(SKIPPED)} for step in train_outputs]
        means = self.epoch_means(outputs)
        self.logger.log("train_losses", means.pop("loss"), self.current_epoch)
        for name, value in means.items():
            self.logger.log(f"train/{name}", value, self.current_epoch)

    def on_validation_epoch_start(self) -> None:
        """Heads and network to evaluation mode."""
        self.step_module.eval()

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Tensor]]) -> None:
        """Log the epoch's means and the moving average that decides which checkpoint is best."""
        means = self.epoch_means(val_outputs)
        loss = means.pop("loss")
        self.logger.log("val_losses", loss, self.current_epoch)
        for name, value in means.items():
            self.logger.log(f"val/{name}", value, self.current_epoch)
        earlier = self.logger.get_value("ema_val_losses", step=None) if self.current_epoch > 0 else []
        previous = earlier[self.current_epoch - 1] if earlier else loss
        # An epoch without a finite loss says nothing, also not of those that follow.
        known = np.isfinite([previous, loss])
        average = 0.9 * previous + 0.1 * loss if known.all() else previous if known[0] else loss
        self.logger.log("ema_val_losses", average, self.current_epoch)

    def epoch_means(self, outputs: list[dict[str, Tensor]]) -> dict[str, float]:
        """Means over steps, and over processes."""
        # One transfer from the device per epoch; a metric without a value in a step does not count there.
        means = torch.stack([finite_mean(torch.stack([step[key] for step in outputs])) for key in outputs[0]])
        if self.is_ddp:
            dist.all_reduce(means)
            means = means / self.world_size
        return dict(zip(outputs[0], means.cpu().tolist(), strict=True))

    def on_epoch_end(self) -> None:
        """Print, save and plot."""
        epoch = self.current_epoch
        self.logger.log("epoch_end_timestamps", time(), epoch)
        log = self.logger.local_logger.my_fantastic_logging
        self.print_to_log_file(f"loss {log['train_losses'][-1]:.4f}, without augmentation {log['val_losses'][-1]:.4f}")
        for key in [key for key in log if key.startswith("val/") and not key.endswith(CHANCE)]:
            chance = f" (chance {log[key + CHANCE][-1]:.4f})" if key + CHANCE in log else ""
            self.print_to_log_file(f"{key.removeprefix('val/')} {log[key][-1]:.4f}{chance}")
        seconds = log["epoch_end_timestamps"][-1] - log["epoch_start_timestamps"][-1]
        self.print_to_log_file(f"Epoch time: {seconds:.1f} s")
        average = log["ema_val_losses"][-1]
        if np.isfinite(average) and (self._best_ema is None or average < self._best_ema):
            self._best_ema = average
            self.print_to_log_file(f"New best {BEST_MEASURE}: {average:.4f}")
            self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_best.pth"))
        if (epoch + 1) % self.save_every == 0 and epoch != self.num_epochs - 1:
            self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_latest.pth"))
        if self.local_rank == 0:
            self.logger.plot_progress_png(self.output_folder)
        self.current_epoch += 1

    # ------------------------------------------------------------ checkpoints

    def save_checkpoint(self, filename: str) -> None:
        """Write the complete stock network, on the CPU, with everything needed to resume beside it."""
        if self.local_rank != 0:
            return
        if self.disable_checkpointing:
            self.print_to_log_file("No checkpoint written, checkpointing is disabled")
            return
        save_atomically(pretraining_checkpoint(self), filename)
        self.last_good = filename

    def load_checkpoint(self, filename_or_checkpoint: dict | str) -> None:
        """Resume: network, heads, optimiser, scaler, log and random state."""
        if not self.was_initialized:
            self.initialize()
        checkpoint = filename_or_checkpoint
        if isinstance(checkpoint, str):
            self.last_good = checkpoint
            checkpoint = read_checkpoint(checkpoint)
        refuse_other_settings(str(filename_or_checkpoint), checkpoint["init_args"], self.settings)
        restore_pretraining(self, checkpoint)

    # ------------------------------------------------------------- validation

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """In place of a segmentation: what the pretext learned, as figures and pictures, in `validation/`."""
        if self.local_rank == 0:
            self.print_to_log_file("Measuring what the pretext learned")
        validate_pretext(self)


def finite_mean(values: Tensor) -> Tensor:
    """Mean of what is finite; NaN where nothing is."""
    return torch.where(torch.isfinite(values), values, torch.nan).nanmean()


def named_values(total: Tensor, results: dict[str, ObjectiveResult]) -> dict[str, Tensor]:
    """Total loss, and every part and metric as `objective/name`; detached."""
    values = {"loss": total.detach()}
    for name, result in results.items():
        for key, value in {**result.parts, **result.metrics}.items():
            values[f"{name}/{key}"] = value.detach()
    return values
