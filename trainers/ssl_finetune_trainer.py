from nnssl_plugin.finetuning.finetune_trainer import FinetuneTrainer


class SSLFinetuneTrainer(FinetuneTrainer):
    """Fine-tunes pre-trained weights, `nnUNetv2_train … -tr SSLFinetuneTrainer -pretrained_weights CHECKPOINT`."""
