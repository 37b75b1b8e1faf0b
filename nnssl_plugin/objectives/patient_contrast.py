"""What contrastive objectives over patients have in common, whatever their two views are."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnssl_plugin.objectives.gather import gather_rows
from nnssl_plugin.objectives.info_nce import PatientInfoNCE
from nnssl_plugin.objectives.objective import Features, ObjectiveResult
from nnssl_plugin.objectives.pair_losses import Reducer
from nnssl_plugin.objectives.representation import alignment, retrieval_top1, uniformity


def embed_patches(projection: nn.Module, features: Features) -> Tensor:
    """`[B, D]`, unit vectors: bottleneck → average pool → projection, in float32."""
    bottleneck = features.encoder[-1]
    pooled = bottleneck.mean(dim=tuple(range(2, bottleneck.ndim)))
    with torch.autocast(bottleneck.device.type, enabled=False):
        return F.normalize(projection(pooled.float()), dim=1)


def contrast_patients(
    first: Tensor, second: Tensor, patient: Tensor, valid: Tensor, info_nce: PatientInfoNCE, reducer: Reducer
) -> ObjectiveResult:
    """InfoNCE over patients, gathered over processes; alignment, uniformity and retrieval beside chance.

    Args:
        first: `[B, D]`, unit vectors of one view.
        second: of the other.
        patient: `[B]`.
        valid: `[B]`, bool, whether a patch has both views.
        info_nce: losses of the pairs.
        reducer: makes the loss of them.
    """
    first, second = gather_rows(first), gather_rows(second)
    patient, valid = gather_rows(patient), gather_rows(valid)
    embeddings = torch.cat([first, second])
    loss = reducer(info_nce(embeddings, patient.repeat(2), valid.repeat(2)))
    with torch.no_grad(), torch.autocast(embeddings.device.type, enabled=False):
        hit, chance = retrieval_top1(first, second, patient, valid)
        metrics = {
            "retrieval": hit,
            "retrieval_chance": chance,
            "alignment": alignment(first, second, valid),
            "uniformity": uniformity(embeddings, patient.repeat(2), valid.repeat(2)),
        }
    return ObjectiveResult(loss, {"info_nce": loss}, metrics)
