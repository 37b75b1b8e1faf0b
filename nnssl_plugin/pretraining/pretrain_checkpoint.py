from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnssl_plugin import __version__
from nnssl_plugin.checkpoints.checkpoint_file import random_state, to_plain
from nnssl_plugin.checkpoints.nnssl_format import ADAPTATION_PLAN, adaptation_plan
from nnssl_plugin.checkpoints.provenance import citations_of, provenance, weights_sha256
from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.registry import OBJECTIVES

if TYPE_CHECKING:
    from nnssl_plugin.pretraining.pretrain_trainer import PretrainTrainer

BEST_MEASURE = "moving average of the pretext loss without augmentation (lower is better)"


def pretraining_checkpoint(trainer: "PretrainTrainer") -> dict[str, Any]:
    """The complete stock network, on the CPU, what it is made of, and what is needed to resume.

    Readable by `torch.load(…, weights_only=True)`, by stock `-pretrained_weights` and, through its adaptation plan, by
    the fine-tuning of nnssl checkpoints on nnU-Net's main branch.
    """
    configuration = trainer.configuration_manager.configuration
    plans = trainer.plans_manager.plans
    record = provenance(
        type(trainer).__name__,
        plans["dataset_name"],
        trainer.modalities,
        trainer.configuration_name,
        plans=plans["plans_name"],
        fold=trainer.fold,
        further_datasets=list(trainer.settings.datasets),
        objectives={name: section.weight for name, section in trainer.active_objectives.items()},
        epochs=trainer.current_epoch + 1,
        iterations_per_epoch=trainer.num_iterations_per_epoch,
        encoder_sha256=weights_sha256(trainer.network.encoder.parameters()),
    )
    content = {
        "network_weights": dict(trainer.network.state_dict()),
        "optimizer_state": trainer.optimizer.state_dict(),
        "grad_scaler_state": trainer.grad_scaler.state_dict() if trainer.grad_scaler is not None else None,
        "logging": trainer.logger.get_checkpoint(),
        "_best_ema": trainer._best_ema,
        "current_epoch": trainer.current_epoch + 1,
        "init_args": trainer.my_init_kwargs,
        "trainer_name": type(trainer).__name__,
        "inference_allowed_mirroring_axes": trainer.inference_allowed_mirroring_axes,
        "citations": citations_of({name: OBJECTIVES[name] for name in trainer.active_objectives}),
        ADAPTATION_PLAN: adaptation_plan(
            plans, trainer.configuration_name, configuration, trainer.network, len(trainer.modalities)
        ),
        "nnssl_plugin": {
            "version": __version__,
            "best_measure": BEST_MEASURE,
            "provenance": record,
            "heads": dict(trainer.pretraining_network.objectives.state_dict()),
            "random_state": random_state(trainer.generator),
        },
    }
    plain: dict[str, Any] = to_plain(content)
    return plain


def restore_pretraining(trainer: "PretrainTrainer", checkpoint: Mapping[str, Any]) -> None:
    """Undo of `pretraining_checkpoint`.

    Raises:
        InputError: the heads are those of another version.
    """
    trainer.network.load_state_dict(checkpoint["network_weights"])
    try:
        trainer.pretraining_network.objectives.load_state_dict(checkpoint["nnssl_plugin"]["heads"])
        trainer.optimizer.load_state_dict(checkpoint["optimizer_state"])
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"the heads of this checkpoint are not those of nnssl_plugin {__version__} (it was made by "
            f"{checkpoint['nnssl_plugin'].get('version', 'another version')}): go on with that version, or pre-train again. "
            f"The network itself fits: -pretrained_weights and `nnssl_plugin export` take it"
        ) from error
    if trainer.grad_scaler is not None and checkpoint["grad_scaler_state"] is not None:
        trainer.grad_scaler.load_state_dict(checkpoint["grad_scaler_state"])
    trainer.logger.load_checkpoint(checkpoint["logging"])
    trainer._best_ema = checkpoint["_best_ema"]
    trainer.current_epoch = checkpoint["current_epoch"]
    trainer.my_init_kwargs = checkpoint["init_args"]
    trainer.inference_allowed_mirroring_axes = checkpoint["inference_allowed_mirroring_axes"]
    # Starting the loaders draws random numbers, so the state is set after that.
    trainer.random_state_to_restore = checkpoint["nnssl_plugin"]["random_state"]
