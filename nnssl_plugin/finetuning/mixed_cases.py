from typing import Any

import numpy as np
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetBaseDataset


class MixedCases:
    """Labelled and pseudo-labelled cases as one data set, for nnU-Net's loader, which asks for one case after the other.

    Of the cases of each batch a set share is pseudo-labelled, in random order; where the share is no whole number of cases,
    it is so on average. The loader names a case at random; as its kind is decided here, the case is drawn here as well.

    Args:
        labelled: of the fold.
        pseudo_labelled: of another data set, under the same plans.
        share: of pseudo-labelled cases in a batch, 0 to 1.
        batch_size: of the loader.
    """

    def __init__(
        self, labelled: nnUNetBaseDataset, pseudo_labelled: nnUNetBaseDataset, share: float, batch_size: int
    ) -> None:
        self.labelled, self.pseudo_labelled = labelled, pseudo_labelled
        self.identifiers = [*labelled.identifiers, *pseudo_labelled.identifiers]
        self.share, self.batch_size = share, batch_size
        self.turns: list[bool] = []

    def load_case(self, identifier: str) -> Any:
        """As nnU-Net's data sets: image, segmentation, segmentation of a previous stage, properties."""
        if not self.turns:
            whole, rest = divmod(self.share * self.batch_size, 1)
            count = int(whole) + int(np.random.uniform() < rest)
            self.turns = np.random.permutation(np.arange(self.batch_size) < count).tolist()
        wanted = self.pseudo_labelled if self.turns.pop() else self.labelled
        return wanted.load_case(str(np.random.choice(wanted.identifiers)))
