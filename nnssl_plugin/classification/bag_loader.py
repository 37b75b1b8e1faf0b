from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from batchgenerators.dataloading.data_loader import SlimDataLoaderBase

from nnssl_plugin.data.case_record import CaseRecord
from nnssl_plugin.data.one_thread import one_thread
from nnssl_plugin.data.patch_sampler import PatchSampler
from nnssl_plugin.data.worker_end import end_with_parent


class BagLoader(SlimDataLoaderBase):
    """Draws cases, and of each some tiles around its foreground, which is found in the image; runs in worker processes.

    No case is drawn twice in a batch, where there are enough.

    Args:
        records: cases to draw from.
        classes: case → index of its class in each column.
        sampler: draws and augments a tile.
        cases: of a batch.
        tiles: of each case.
    """

    def __init__(
        self,
        records: Sequence[CaseRecord],
        classes: Mapping[str, Sequence[int]],
        sampler: PatchSampler,
        cases: int,
        tiles: int,
    ) -> None:
        super().__init__(list(records), cases)
        self.records = list(records)
        self.classes = classes
        self.sampler = sampler
        self.tiles = tiles

    def set_thread_id(self, thread_id: int) -> None:
        """Called as a worker process begins."""
        super().set_thread_id(thread_id)
        end_with_parent()

    def generate_train_batch(self) -> dict[str, Any]:
        """`data` `[B, T, C, *P]` and `target` `[B, columns]`."""
        bags, targets = [], []
        with torch.no_grad(), one_thread():
            # Nothing is remembered between batches, so that a resumed run draws what an uninterrupted one does.
            few = len(self.records) < self.batch_size
            drawn: list[int] = np.random.choice(np.arange(len(self.records)), self.batch_size, replace=few).tolist()
            for index in drawn:
                record = self.records[index]
                tiles = [self.sampler.draw(record, 0)["images/augmented"] for _ in range(self.tiles)]
                bags.append(torch.stack(tiles))
                targets.append(torch.tensor(self.classes[record.case]))
        return {"data": torch.stack(bags), "target": torch.stack(targets)}
