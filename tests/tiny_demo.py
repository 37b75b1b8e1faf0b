from nnssl_plugin.demo.size import DemoSize

TINY = DemoSize(
    training=2,
    test=2,
    unlabelled=3,
    shape=(32, 32, 32),
    spacing_mm=5.0,
    patch_size=(32, 32, 32),
    features=(4, 8),
    pretraining_epochs=2,
    pretraining_iterations=2,
    finetuning_epochs=2,
    finetuning_iterations=2,
    validation_iterations=1,
    save_every=1,
)
