from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.default_n_proc_DA import get_allowed_n_proc_DA
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import AdamW

from nnssl_plugin.checkpoints.checkpoint_file import read_checkpoint, shareable_init_args
from nnssl_plugin.checkpoints.provenance import provenance as provenance_of
from nnssl_plugin.checkpoints.provenance import weights_sha256
from nnssl_plugin.checkpoints.recorded import recorded_section
from nnssl_plugin.classification.bag_loader import BagLoader
from nnssl_plugin.classification.bag_size import bag_size
from nnssl_plugin.classification.checkpoint import save_classifier
from nnssl_plugin.classification.cohort import ClassificationCases, cases_of_fold
from nnssl_plugin.classification.labels import UNKNOWN
from nnssl_plugin.classification.loss import ColumnsCrossEntropy, class_weights
from nnssl_plugin.classification.network import ClassificationNetwork
from nnssl_plugin.classification.predict_case import predict_case
from nnssl_plugin.classification.validation_scores import validation_scores
from nnssl_plugin.data.case_index import build_case_index, open_image
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.loader import in_worker_processes, intensity_statistics
from nnssl_plugin.data.patch_sampler import PatchRequest, PatchSampler
from nnssl_plugin.evaluation.predictions import Predictions, write_predictions
from nnssl_plugin.files import write_json
from nnssl_plugin.finetuning.parameter_groups import unwrapped
from nnssl_plugin.finetuning.schedules import StepSchedule, warmup, warmup_length
from nnssl_plugin.nnunet.dataset_json import channel_names, patient_of
from nnssl_plugin.settings.settings import settings_from_plans
from nnssl_plugin.training.kept_memory import keep_freed_memory
from nnssl_plugin.training.pretext_logger import PretextLogger
from nnssl_plugin.training.run_checks import check_run, refuse_cascade
from nnssl_plugin.training.run_record import RECORD, record_of_new_run, refuse_other_settings
from nnssl_plugin.training.seeding import seed_everything, start_seed
from nnssl_plugin.transforms.augmentation import stock_augmentation
from nnssl_plugin.transforms.denormalization import DenormalizationTransform

ENCODER, HEAD = "encoder", "head"


class ClassifyTrainer(nnUNetTrainer):
    """Trains the encoder of the plans' network, under a new head, to tell the classes of cases.

    Augmentation, step, epochs, checkpoints and the command's options are nnU-Net's. What is kept is the last epoch, never the
    one that was best on the validation cases.
    """

    is_ddp: bool
    network: Any
    current_epoch: int
    step = 0

    def __init__(
        self,
        plans: dict,
        configuration: str,
        fold: int,
        dataset_json: dict,
        device: torch.device = torch.device("cuda"),
    ) -> None:
        self.settings = check_run(plans, configuration, dataset_json).classification
        refuse_cascade(plans, configuration)
        self.world_size = dist.get_world_size() if dist.is_initialized() else 1
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self.is_ddp and (device.type == "cpu" or device.index is not None):
            # nnU-Net takes for granted that there are GPUs, and the global rank is one's number.
            self.device = device
        self.my_init_kwargs: dict[str, Any] = shareable_init_args(self.my_init_kwargs)
        self.num_epochs = self.settings.epochs
        self.num_iterations_per_epoch = self.settings.iterations_per_epoch
        self.save_every = self.settings.save_every
        self.initial_lr = self.settings.initial_lr
        self.weight_decay = self.settings.weight_decay
        self.enable_deep_supervision = False
        self.logger.local_logger = PretextLogger()
        self.resumed = False
        self.initial_weights = "none"

    @cached_property
    def cases(self) -> ClassificationCases:
        """The cases of the fold."""
        return cases_of_fold(Path(self.preprocessed_dataset_folder), self.dataset_json, self.settings, self.fold)

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.num_epochs * self.num_iterations_per_epoch

    def _do_i_compile(self) -> bool:
        # Whole cases have any number of tiles; whether compiling pays is not measured.
        return False

    def _set_batch_size_and_oversample(self) -> None:
        """Cases of this process: those of a step, split over processes."""
        self.size = bag_size(self.settings, self.configuration_manager, len(channel_names(self.dataset_json)))
        self.batch_size = -(-self.size.cases // self.world_size)
        # A measure on each validation case once, about.
        self.num_val_iterations_per_epoch = -(-len(self.cases.validation) // self.size.cases)

    def build_network_architecture(
        self,
        plans_manager: PlansManager,
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = True,
    ) -> nn.Module:
        """The encoder of nnU-Net's network, under a head for the classes."""
        unet = nnUNetTrainer.build_network_architecture(
            plans_manager, configuration_manager, num_input_channels, num_output_channels, enable_deep_supervision
        )
        counts = [len(names) for names in self.cases.classes.columns.values()]
        return ClassificationNetwork(unet, counts, self.settings)

    def initialize(self) -> None:
        """As nnU-Net, seeded; remembers the fresh weights, to tell later whether others were loaded."""
        keep_freed_memory()
        if self.settings.seed is not None:
            seed_everything(start_seed(self.settings.seed, self.local_rank, 0))
        # nnU-Net wraps for a GPU only.
        in_ddp, self.is_ddp = self.is_ddp, False
        try:
            super().initialize()
        finally:
            self.is_ddp = in_ddp
        if in_ddp:
            cuda = self.device.type == "cuda"
            self.network = DistributedDataParallel(self.network, [self.device] if cuda else None)
        self.fresh_weights = self._encoder_sha256()

    def _encoder_sha256(self) -> str:
        return weights_sha256(unwrapped(self.network).encoder.parameters())

    def configure_optimizers(self) -> tuple[AdamW, StepSchedule]:
        """AdamW with rates of their own for encoder and head: warm-up, then nnU-Net's decay."""
        groups: list[dict[str, Any]] = []
        for name, inside in ((HEAD, True), (ENCODER, False)):
            own = [p for key, p in self.network.named_parameters() if key.startswith("head.") == inside]
            groups += [
                {"params": [p for p in own if p.ndim > 1], "name": name},
                # Norms and biases do not decay.
                {"params": [p for p in own if p.ndim <= 1], "name": name, "weight_decay": 0.0},
            ]
        optimizer = AdamW(groups, self.initial_lr, weight_decay=self.weight_decay)
        return optimizer, StepSchedule(optimizer, self.learning_rates, self.num_iterations_per_epoch)

    def learning_rates(self, step: int) -> dict[str, float]:
        """Learning rate of each part."""
        share = warmup(step, self.steps, warmup_length(self.steps, self.settings.warmup_fraction)).encoder
        encoder = self.settings.encoder_lr
        return {HEAD: self.initial_lr * share, ENCODER: (self.initial_lr if encoder is None else encoder) * share}

    def _build_loss(self) -> nn.Module:
        weights = class_weights(self.cases.classes, self.cases.training, self.settings.class_weights)
        return ColumnsCrossEntropy(weights, self.settings.label_smoothing)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """There is no decoder."""

    def plot_network_architecture(self) -> None:
        """nnU-Net's drawing is of a network that takes one patch."""

    def make_loader(self, cases: list[str], augment: bool) -> BagLoader:
        """Loader over some cases, in this process."""
        rotation, dummy_2d, _, axes = self.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        patch_size = tuple(self.configuration_manager.patch_size)
        augmentation = stock_augmentation(
            patch_size, rotation, axes, dummy_2d, self.configuration_manager.use_mask_for_norm
        )
        pretraining = settings_from_plans(self.plans_manager.plans).pretraining
        records = self._records(cases)
        sampler = PatchSampler(
            PatchRequest(patch_size, self.size.tiles, ("augmented",)),
            pretraining.minimum_foreground,
            DenormalizationTransform(intensity_statistics(records), pretraining.denormalization),
            augmentation,
            augment,
        )
        return BagLoader(records, self.cases.classes.of_case, sampler, self.batch_size, self.size.tiles)

    def _records(self, cases: list[str]) -> list[CaseRecord]:
        patients = {case: patient_of(self.dataset_json, case) for case in cases}
        return build_case_index(
            Path(self.preprocessed_dataset_folder),
            cases,
            channel_names(self.dataset_json),
            patients,
            self.local_rank,
            self.world_size,
        )

    def get_dataloaders(self) -> tuple[Any, Any]:
        """Augmented tiles of the training cases; plain ones of the validation cases."""
        processes, pin = get_allowed_n_proc_DA(), self.device.type == "cuda"
        measured = min(processes, max(1, processes // 2))
        return (
            in_worker_processes(self.make_loader(self.cases.training, augment=True), processes, pin),
            in_worker_processes(self.make_loader(self.cases.validation, augment=False), measured, pin),
        )

    def on_train_start(self) -> None:
        """As nnU-Net, after saying what is trained; refuses to overwrite a finished run made otherwise."""
        if not self.was_initialized:
            self.initialize()
        if not self.resumed:
            weights = self._encoder_sha256()
            self.initial_weights = "none" if weights == self.fresh_weights else weights
            self.my_init_kwargs[RECORD] = record_of_new_run(
                Path(self.output_folder),
                asdict(self.settings),
                self.configuration_manager.configuration,
                self.cases.training,
                initial_weights=self.initial_weights,
            )
        self._say_what_is_trained()
        super().on_train_start()

    def _say_what_is_trained(self) -> None:
        classes = self.cases.classes
        for position, (column, names) in enumerate(classes.columns.items()):
            found = [classes.of_case[case][position] for case in self.cases.training]
            counts = ", ".join(f"{names[index]}: {found.count(index)}" for index in range(len(names)))
            unknown = f", {found.count(UNKNOWN)} without" if UNKNOWN in found else ""
            self.print_to_log_file(f"{column}: {counts}{unknown} (training cases)")
        if classes.left_out:
            self.print_to_log_file(
                f"{len(classes.left_out)} cases have no class and are left out: {', '.join(classes.left_out[:10])}"
            )
        if missing := self.cases.in_no_fold:
            self.print_to_log_file(
                f"WARNING: {len(missing)} cases have a class, but the file of folds is older and lacks them: {', '.join(missing[:10])}. "
                "They are left out; remove the file to make new folds"
            )
        self.print_to_log_file(
            f"{self.size.cases} cases of {self.size.tiles} tiles a step, at {self.size.cost:.2f} times the cost of a supervised step of "
            "these plans"
        )
        start = "pre-trained weights" if self.initial_weights != "none" else "fresh weights"
        self.print_to_log_file(f"{len(self.cases.training)} training cases, {start}")

    def on_train_epoch_start(self) -> None:
        """As nnU-Net, seeded by epoch, so that a resumed run draws what an uninterrupted one does."""
        if self.settings.seed is not None:
            seed_everything(start_seed(self.settings.seed, self.local_rank, self.current_epoch))
        super().on_train_epoch_start()
        self.step = self.current_epoch * self.num_iterations_per_epoch

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As nnU-Net, at the learning rates of the step."""
        self.lr_scheduler.set_rates(self.step)
        outputs: dict[str, Any] = super().train_step(batch)
        self.step += 1
        return outputs

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Loss and hits on tiles of validation cases."""
        data, target = (batch[key].to(self.device, non_blocking=True) for key in ("data", "target"))
        logits = self.network(data)
        hits = torch.stack([one.argmax(dim=1) for one in logits], dim=1) == target
        return {
            "loss": float(self.loss(logits, target)),
            "hits": int(hits.sum()),
            "known": int((target != UNKNOWN).sum()),
        }

    def on_validation_epoch_end(self, val_outputs: list[dict[str, Any]]) -> None:
        """Log loss and accuracy."""
        totals = [sum(output[key] for output in val_outputs) for key in ("loss", "hits", "known")]
        values = torch.tensor(totals, dtype=torch.float64)
        if self.is_ddp:
            values = values.to(self.device)
            dist.all_reduce(values)
        loss, hits, known = values.tolist()
        self.logger.log("val_losses", loss / (len(val_outputs) * self.world_size), self.current_epoch)
        self.logger.log("val/accuracy_of_random_tiles", hits / max(known, 1), self.current_epoch)

    def on_epoch_end(self) -> None:
        """Print, save and plot."""
        value = self.logger.get_value
        accuracy = value("val/accuracy_of_random_tiles", step=-1)
        self.print_to_log_file(
            f"Training loss {value('train_losses', step=-1):.4f}, validation loss {value('val_losses', step=-1):.4f}, accuracy "
            f"on random tiles {accuracy:.3f}"
        )
        last = self.current_epoch == self.num_epochs - 1
        if (self.current_epoch + 1) % self.save_every == 0 and not last:
            self.save_checkpoint(str(Path(self.output_folder) / "checkpoint_latest.pth"))
        if self.local_rank == 0 and (last or (self.current_epoch + 1) % self.save_every == 0):
            self.logger.plot_progress_png(self.output_folder)
        self.current_epoch += 1

    def save_checkpoint(self, filename: str) -> None:
        """nnU-Net's checkpoint, with the classes and what it is made of, written whole or not at all."""
        save = super().save_checkpoint
        if self.local_rank != 0 or self.disable_checkpointing:
            save(filename)
            return
        save_classifier(filename, save, self.cases.classes.columns, self.provenance())

    def load_checkpoint(self, filename_or_checkpoint: str) -> None:
        """As nnU-Net, with the settings the run was started with; it counts as resumed."""
        saved = read_checkpoint(filename_or_checkpoint, mmap=True)
        refuse_other_settings(filename_or_checkpoint, recorded_section(saved, "init_args"), self.settings)
        if not self.was_initialized:
            self.initialize()
        super().load_checkpoint(filename_or_checkpoint)
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
            columns=list(self.cases.classes.columns),
            label_fraction=self.settings.label_fraction,
            initial_weights=self.initial_weights,
            encoder_sha256=self._encoder_sha256(),
        )

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Classify the whole validation cases: `validation/predictions.csv`."""
        if self.local_rank == 0:
            self._validate()
        if self.is_ddp:
            dist.barrier()

    def _validate(self) -> None:
        network = unwrapped(self.network)
        network.eval()
        columns = self.cases.classes.columns
        predictions = Predictions(columns, {})
        for case in self.cases.validation:
            image = open_image(Path(self.preprocessed_dataset_folder) / f"{case}.b2nd")[:]
            predicted = predict_case(network, image, self.configuration_manager.patch_size, self.device)
            predictions.probabilities[case] = {
                column: logits.softmax(dim=0).double().numpy()
                for column, logits in zip(columns, predicted.logits, strict=True)
            }
        folder = Path(self.output_folder) / "validation"
        folder.mkdir(exist_ok=True)
        write_predictions(predictions, folder / "predictions.csv")
        scores = validation_scores(folder / "predictions.csv", self.plans_manager.dataset_name)
        for column, one in scores["mean"].items():
            shown = ", ".join(f"{name} {value:.3f}" for name, value in one.items() if value is not None)
            self.print_to_log_file(f"Validation, {column}: {shown}")
        write_json(scores, folder / "summary.json")
