from nnssl_plugin.finetuning.finetune_trainer import SawtoothTrainer


class SSLFinetuneSawtoothTrainer(SawtoothTrainer):
    """Fine-tunes pre-trained weights, the decoder first: `nnUNetv2_train … -tr SSLFinetuneSawtoothTrainer -pretrained_weights CHECKPOINT`."""
