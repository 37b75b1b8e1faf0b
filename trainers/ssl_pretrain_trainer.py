from nnssl_plugin.pretraining.pretrain_trainer import PretrainTrainer


class SSLPretrainTrainer(PretrainTrainer):
    """Pre-trains the network of the plans without labels, `nnUNetv2_train … -tr SSLPretrainTrainer`."""
