from matplotlib.figure import Figure
from torch import Tensor

from nnssl_plugin.data.mosaic_axes import mosaic_axes
from nnssl_plugin.plots.example import Example
from nnssl_plugin.plots.slices import show_slices

MOST_SHOWN = 8


def plot_mosaics(example: Example) -> Figure:
    """Mosaics with true and predicted labels, block by block."""
    slem, views = example.objective, example.views
    predicted = slem.logits(example.features, views).argmax(dim=1)

    def name(label: Tensor) -> str:
        return " ".join(slem.modalities[i] for i in slem.labels[label].tolist())

    titles = [
        [f"true {name(true)}\npredicted {name(guess)}"]
        for true, guess in zip(views.targets["label"][:MOST_SHOWN], predicted[:MOST_SHOWN], strict=True)
    ]
    rows = list(views.images["mosaic"][:MOST_SHOWN, :1])
    return show_slices(rows, titles, plane=mosaic_axes(example.batch.patch_size))
