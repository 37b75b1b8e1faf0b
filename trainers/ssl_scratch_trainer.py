from nnssl_plugin.finetuning.scratch_trainer import ScratchTrainer


class SSLScratchTrainer(ScratchTrainer):
    """The control of fine-tuning: the same run without weights, `nnUNetv2_train … -tr SSLScratchTrainer`."""
