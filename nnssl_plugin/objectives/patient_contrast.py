"""What contrastive objectives over patients have in common, whatever their two views are."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnssl_plugin.objectives.gather import gather_rows
from nnssl_plugin.objectives.info_nce import PatientInfoNCE
from nnssl_plugin.objectives.objective import Features, ObjectiveResult
from nnssl_plugin.objectives.pair_weights import PairReducer, weight_metrics
from nnssl_plugin.objectives.representation import alignment, retrieval_top1, uniformity


def pooled(features: Features) -> Tensor:
    """`[B, F]`, the representation: mean of the bottleneck over space, in float32."""
    return features.encoder[-1].flatten(2).mean(dim=2).float()


def embed_patches(projection: nn.Module, features: Features) -> Tensor:
    """`[B, D]`, unit vectors: bottleneck → average pool → projection, in float32."""
    representation = pooled(features)
    with torch.autocast(representation.device.type, enabled=False):
        return F.normalize(projection(representation), dim=1)


def contrast_patients(
    views: tuple[Features, Features],
    patient: Tensor,
    valid: Tensor,
    projection: nn.Module,
    info_nce: PatientInfoNCE,
    reducer: PairReducer,
) -> ObjectiveResult:
    """InfoNCE over patients, gathered over processes; alignment, uniformity and retrieval with chance.

    Args:
        views: features of both.
        patient: `[B]`.
        valid: `[B]`, bool, whether a patch has both views.
        projection: of the representations.
        info_nce: losses of the pairs.
        reducer: makes the loss of them.
    """
    first, second = (gather_rows(embed_patches(projection, features)) for features in views)
    patient, valid = gather_rows(patient), gather_rows(valid)
    embeddings = torch.cat([first, second])

    def representations() -> Tensor:
        return torch.cat([gather_rows(pooled(features).detach()) for features in views])

    loss, pairs = reducer(info_nce(embeddings, patient.repeat(2), valid.repeat(2)), representations)
    with torch.no_grad(), torch.autocast(embeddings.device.type, enabled=False):
        # Forward-mode derivatives, which only detaching takes away, are no matter of curves.
        first, second, embeddings = first.detach(), second.detach(), embeddings.detach()
        hit, chance = retrieval_top1(first, second, patient, valid)
        metrics = {
            "retrieval": hit,
            "retrieval_chance": chance,
            "alignment": alignment(first, second, valid),
            "uniformity": uniformity(embeddings, patient.repeat(2), valid.repeat(2)),
            **weight_metrics(pairs),
        }
    return ObjectiveResult(loss, {"info_nce": loss}, metrics, pairs)
