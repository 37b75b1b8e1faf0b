from nnssl_plugin.finetuning.self_train_trainer import SelfTrainTrainer


class SSLSelfTrainTrainer(SelfTrainTrainer):
    """Fine-tunes on labelled and pseudo-labelled cases, `nnUNetv2_train … -tr SSLSelfTrainTrainer [-pretrained_weights CHECKPOINT]`."""
