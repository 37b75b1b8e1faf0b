from collections.abc import Mapping
from typing import Any

from nnssl_plugin import __version__
from nnssl_plugin.checkpoints.checkpoint_file import random_state, to_plain
from nnssl_plugin.checkpoints.nnssl_format import ADAPTATION_PLAN, adaptation_plan
from nnssl_plugin.checkpoints.provenance import citations_of, provenance, weights_sha256
from nnssl_plugin.errors import InputError
from nnssl_plugin.objectives.registry import OBJECTIVES
from nnssl_plugin.pretraining.epoch import BEST_MEASURE
from nnssl_plugin.pretraining.run import PretrainingRun
from nnssl_plugin.pretraining.step import PretrainingStep
from nnssl_plugin.training.run_record import RECORD


def pretraining_checkpoint(step: PretrainingStep, run: PretrainingRun, of_trainer: Mapping[str, Any]) -> dict[str, Any]:
    """The complete stock network, on the CPU, what it is made of, and what is needed to resume.

    Readable by `torch.load(…, weights_only=True)`, by stock `-pretrained_weights` and, through its adaptation plan, by
    the fine-tuning of nnssl checkpoints on nnU-Net's main branch.

    Args:
        step: of the run.
        run: what it does.
        of_trainer: entries that nnU-Net's own checkpoints have, as the trainer keeps them.
    """
    network, state = step.network.network, step.state()
    arguments = of_trainer["init_args"]
    record = provenance(
        of_trainer["trainer_name"],
        run.plans["dataset_name"],
        run.modalities,
        run.name,
        plans=run.plans["plans_name"],
        further_datasets=list(run.settings.datasets),
        objectives={name: section.weight for name, section in run.active.items()},
        iterations_per_epoch=run.settings.iterations_per_epoch,
        fold=arguments["fold"],
        epochs=of_trainer["current_epoch"],
        initial_weights=arguments.get(RECORD, {}).get("initial_weights", "none"),
        encoder_sha256=weights_sha256(network.encoder.parameters()),
    )
    content = {
        "network_weights": dict(network.state_dict()),
        "optimizer_state": state["optimizer"],
        "grad_scaler_state": state["scaler"],
        **of_trainer,
        "citations": citations_of({name: OBJECTIVES[name] for name in run.active}),
        ADAPTATION_PLAN: adaptation_plan(
            run.plans, run.name, run.configuration.configuration, network, len(run.modalities)
        ),
        "nnssl_plugin": {
            "version": __version__,
            "best_measure": BEST_MEASURE,
            "provenance": record,
            "heads": state["heads"],
            "teacher": state["teacher"],
            "meta": state["meta"],
            "random_state": random_state(step.generator),
        },
    }
    plain: dict[str, Any] = to_plain(content)
    return plain


def restore_step(step: PretrainingStep, checkpoint: Mapping[str, Any]) -> None:
    """Network, heads, teacher, optimiser and scaler of a checkpoint of `pretraining_checkpoint`.

    Raises:
        InputError: the heads or the optimiser are those of another version.
    """
    own = checkpoint["nnssl_plugin"]
    step.network.network.load_state_dict(checkpoint["network_weights"])
    try:
        step.load_state(
            {
                "heads": own["heads"],
                "teacher": own.get("teacher"),
                "meta": own.get("meta"),
                "optimizer": checkpoint["optimizer_state"],
                "scaler": checkpoint["grad_scaler_state"],
            }
        )
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"the heads or the optimiser of this checkpoint are not those of nnssl_plugin {__version__} (it was made by "
            f"{own.get('version', 'another version')}): use that version, or pre-train again. The network itself "
            "fits: -pretrained_weights and `nnssl_plugin export` take it"
        ) from error
