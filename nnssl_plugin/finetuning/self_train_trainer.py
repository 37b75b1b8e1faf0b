from typing import Any

from nnssl_plugin.checkpoints.recorded import recorded_section
from nnssl_plugin.errors import InputError
from nnssl_plugin.finetuning.mixed_cases import MixedCases
from nnssl_plugin.finetuning.pseudo_labelled_cases import PseudoLabelled, find_pseudo_labelled
from nnssl_plugin.finetuning.supervised_trainer import SupervisedTrainer
from nnssl_plugin.training.run_record import RECORD

LABELS = "pseudo_labels_sha256"


class SelfTrainTrainer(SupervisedTrainer):
    """Fine-tuning on labelled and pseudo-labelled cases (`finetuning.pseudo_labels`) at a set share of each batch.

    Starts from the weights of `-pretrained_weights`, or without: then it is self-training from scratch, and says so. The
    validation cases are the fold's, with their own labels.
    """

    pseudo_labelled: PseudoLabelled

    def check_settings(self) -> None:
        """Refuse to start without pseudo-labels."""
        if self.settings.pseudo_labels is None:
            raise InputError(
                f"{type(self).__name__} needs pseudo-labels: make them with nnssl_plugin pseudo-label and name their data set "
                "in finetuning.pseudo_labels of a plans copy, or train SSLFinetuneTrainer"
            )

    def check_weights(self) -> None:
        """Say what training starts from."""
        start = "the weights of -pretrained_weights" if self.weights_were_loaded() else "scratch"
        self.print_to_log_file(f"Self-training starts from {start}")

    def on_train_start(self) -> None:
        """As fine-tuning, after a look at the pseudo-labelled cases."""
        if not self.was_initialized:
            self.initialize()
        training, validation = self.do_split()
        if self.is_cascaded:
            raise InputError(f"{self.configuration_name} is the second stage of a cascade: it takes no pseudo-labels")
        self.pseudo_labelled = find_pseudo_labelled(
            str(self.settings.pseudo_labels),
            self.plans_manager.plans,
            self.configuration_manager.data_identifier,
            self.dataset_json,
            training,
            validation,
            self.print_to_log_file,
        )
        before = recorded_section(self.my_init_kwargs, RECORD).get(LABELS, self.pseudo_labelled.labels_sha256)
        if self.resumed and before != self.pseudo_labelled.labels_sha256:
            raise InputError(
                f"{self.pseudo_labelled.dataset} holds other labels than this run was started with: train again from the start "
                "(without --c), under a plans copy of its own"
            )
        share = self.settings.pseudo_labelled_share
        self.print_to_log_file(
            f"{len(training)} labelled cases and {len(self.pseudo_labelled.cases)} pseudo-labelled ones of "
            f"{self.pseudo_labelled.dataset}, {share:.0%} of each batch"
        )
        super().on_train_start()

    def get_tr_and_val_datasets(self) -> tuple[Any, Any]:
        """nnU-Net's, the training cases mixed with the pseudo-labelled ones."""
        labelled, validation = super().get_tr_and_val_datasets()
        share = self.settings.pseudo_labelled_share
        return MixedCases(labelled, self.pseudo_labelled.load(), share, self.batch_size), validation

    def start_record(self) -> dict[str, str]:
        """As fine-tuning's, and which labels."""
        return {**super().start_record(), LABELS: self.pseudo_labelled.labels_sha256}

    def provenance(self) -> dict[str, Any]:
        """As fine-tuning's, and the pseudo-labels."""
        made_of = {
            "dataset": self.pseudo_labelled.dataset,
            "cases": len(self.pseudo_labelled.cases),
            "share": self.settings.pseudo_labelled_share,
            "labels_sha256": self.pseudo_labelled.labels_sha256,
        }
        return {**super().provenance(), "pseudo_labels": made_of}
