from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nnssl_plugin.classification.labels import UNKNOWN, CaseClasses


class ColumnsCrossEntropy(nn.Module):
    """Cross-entropy of every column, averaged over columns; a case without a class in a column does not count there.

    Args:
        weights: of the classes of each column.
        label_smoothing: share of the target that is spread over all classes.
    """

    def __init__(self, weights: Sequence[Tensor], label_smoothing: float) -> None:
        super().__init__()
        self.weights = list(weights)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Sequence[Tensor], target: Tensor) -> Tensor:
        """Loss of logits `[B, K]` of each column against the classes `[B, columns]`."""
        losses = []
        for column, (scores, weights) in enumerate(zip(logits, self.weights, strict=True)):
            classes = target[:, column]
            each = F.cross_entropy(
                scores.float(),
                classes,
                weights.to(scores.device),
                ignore_index=UNKNOWN,
                reduction="none",
                label_smoothing=self.label_smoothing,
            )
            losses.append(each.sum() / (classes != UNKNOWN).sum().clamp(min=1))
        return torch.stack(losses).mean()


def class_weights(classes: CaseClasses, cases: Sequence[str], balanced: bool) -> list[Tensor]:
    """Weights of the classes of each column: all 1, or inverse to how often they are among `cases`, 1 on average."""
    result = []
    for column, names in enumerate(classes.columns.values()):
        indices = torch.tensor([classes.of_case[case][column] for case in cases])
        counts = torch.bincount(indices[indices != UNKNOWN], minlength=len(names)).float()
        result.append(counts.sum() / (len(names) * counts.clamp(min=1)) if balanced else torch.ones(len(names)))
    return result
