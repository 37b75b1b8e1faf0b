from collections.abc import Mapping
from typing import Any

# What version 0.2.0 stored of fine-tuning, always all of it.
FINETUNING_0_2_0 = {
    "epochs",
    "iterations_per_epoch",
    "validation_iterations",
    "save_every",
    "initial_lr",
    "scratch_initial_lr",
    "segmentation_lr",
    "warmup_fraction",
    "decoder_up_fraction",
    "decoder_down_fraction",
    "label_fraction",
    "label_seed",
    "seed",
}
# It knew no other optimiser than nnU-Net's, nor a warm-up from scratch.
MEANT = {"optimizer": "sgd", "scratch_warmup_fraction": 0.0}


def finetuning_of_today(section: Mapping[str, Any]) -> dict[str, Any]:
    """A `finetuning` section as it was meant: what version 0.2.0 did not name has the value it had then."""
    earlier = section.keys() >= FINETUNING_0_2_0 and "optimizer" not in section
    return {**(MEANT if earlier else {}), **section}
