"""Cases that a pre-training with learned weights of pairs never trains its network on: the weights are learned by them."""

from collections.abc import Mapping, Sequence

import numpy as np

from nnssl_plugin.data.batch import Patches
from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.errors import InputError
from nnssl_plugin.pretraining.run import PretrainingRun
from nnssl_plugin.pretraining.step_budget import PatchBudget

# A contrastive loss compares patients.
FEWEST = 2
SEED = 0


def split_cohort(run: PretrainingRun, cohort: Sequence[CaseRecord]) -> tuple[list[CaseRecord], list[CaseRecord]]:
    """Cases to train on, and those held out: all cases of some patients, the same in every process and after a restart.

    Raises:
        InputError: too few patients are on either side.
    """
    if not run.weighted:
        return list(cohort), []
    names = sorted({record.patient for record in cohort})
    count = max(FEWEST, round(run.settings.meta.held_out * len(names)))
    if len(names) - count < FEWEST:
        raise InputError(
            f"{len(names)} patients are too few to hold {count} of them out, by which weights of pairs are learned: set "
            f"pretraining.objectives.{run.weighted[0]}.weighting=mean"
        )
    chosen = {names[i] for i in np.random.default_rng(SEED).permutation(len(names))[:count]}
    return (
        [record for record in cohort if record.patient not in chosen],
        [record for record in cohort if record.patient in chosen],
    )


def held_out_patches(run: PretrainingRun, patches: Mapping[Patches, PatchBudget]) -> dict[Patches, PatchBudget]:
    """Patches of a held-out batch: half as many as of a step, of the kinds that objectives with learned weights take."""
    kinds = {run.needs[name].patches for name in run.weighted}
    return {
        kind: PatchBudget(own.patch_size, max(FEWEST, own.patches // 2))
        for kind, own in patches.items()
        if kind in kinds
    }
