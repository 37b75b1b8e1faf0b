from nnssl_plugin.classification.classify_trainer import ClassifyTrainer


class SSLClassifyTrainer(ClassifyTrainer):
    """Entry point of `ClassifyTrainer` for `nnUNetv2_train -tr`."""
